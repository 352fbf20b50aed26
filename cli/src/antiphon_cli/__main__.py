"""`python -m antiphon_cli`, the same as `antiphon`."""

from antiphon_cli.main import app

if __name__ == "__main__":
    app(prog_name="antiphon")
