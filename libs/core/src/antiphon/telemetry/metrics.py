"""Prometheus metrics. Labels are few and bounded, and never ids: https://prometheus.io/docs/practices/naming/."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from antiphon.hooks import Hooks
from antiphon.jobs import Job

_JOB_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_STAGE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics(Hooks):
    """Counts what it hears in a registry of its own, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._accepted = Counter("antiphon_jobs_accepted_total", "Jobs taken.", ["pool"], registry=registry)
        self._ended = Counter("antiphon_jobs_total", "Jobs that ended.", ["pool", "outcome"], registry=registry)
        self._seconds = Histogram(
            "antiphon_job_seconds",
            "Time from acceptance to the end.",
            ["pool", "outcome"],
            buckets=_JOB_SECONDS,
            registry=registry,
        )
        self._audio = Counter(
            "antiphon_audio_seconds_total", "Audio of jobs that succeeded.", ["pool"], registry=registry
        )
        self._attempts = Counter("antiphon_attempts_total", "Attempts ended.", ["pool", "outcome"], registry=registry)
        self._stages = Histogram(
            "antiphon_stage_seconds",
            "Time that a stage took.",
            ["pool", "stage", "outcome"],
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self._restarts = Counter("antiphon_slot_restarts_total", "New child processes.", ["reason"], registry=registry)
        self._requests = Histogram(
            "antiphon_http_request_seconds",
            "Time to the response's last byte.",
            ["method", "route", "status"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )

    def accepted(self, job: Job) -> None:
        self._accepted.labels(job.pool).inc()

    def ended(self, job: Job) -> None:
        self._ended.labels(job.pool, job.state.value).inc()
        if job.finished_at is not None:
            self._seconds.labels(job.pool, job.state.value).observe(job.finished_at - job.created_at)
        if job.state.value == "succeeded" and job.audio_seconds is not None:
            self._audio.labels(job.pool).inc(job.audio_seconds)

    def attempt(self, job: Job, outcome: str) -> None:
        self._attempts.labels(job.pool, outcome).inc()

    @contextmanager
    def stage(self, job: Job, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            self._stages.labels(job.pool, stage, outcome).observe(time.perf_counter() - started)

    def slot_restarted(self, reason: str) -> None:
        self._restarts.labels(reason).inc()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).observe(seconds)
