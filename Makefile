# Every target sets up what it needs; set-up costs nothing the second time.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/core libs/speech services/api services/worker cli
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench lint format render lock

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.done  ## Make .venv with everything that developing needs

$(VENV)/.done: requirements/dev.txt $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Antiphon needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e ./%)
	@touch $@

demo: setup  ## Run the main job on a real recording and write its artifacts to demo-output/
	$(BIN)/python tests/demo.py

test: setup  ## Run every test that this machine can run
	$(BIN)/pytest -n 2 --dist worksteal

check: lint  ## Check types, style, and imports between packages
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

lint: setup  ## Check style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

render: setup  ## Write the reference pages that follow from the code
	$(BIN)/python -m docs.reference.render

format: setup  ## Format the code, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup  ## Measure, and write docs/reference/benchmarks.md
	$(BIN)/antiphon bench all --write docs/reference/benchmarks.md

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" \
	--no-emit-package antiphon --no-emit-package antiphon-speech --no-emit-package antiphon-api \
	--no-emit-package antiphon-worker --no-emit-package antiphon-cli

# Services are constrained by dev, so that what is tested is what is shipped. UPGRADE=--upgrade brings newer versions.
lock:  ## Lock the requirements of every program, with hashes
	$(BIN)/$(COMPILE) $(UPGRADE) pyproject.toml -o requirements/dev.txt
	$(BIN)/$(COMPILE) --constraints requirements/dev.txt services/api/pyproject.toml -o requirements/api.txt
	$(BIN)/$(COMPILE) --constraints requirements/dev.txt services/worker/pyproject.toml -o requirements/worker.txt
	$(BIN)/$(COMPILE) --constraints requirements/dev.txt cli/pyproject.toml -o requirements/cli.txt
