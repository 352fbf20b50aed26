"""`python -m antiphon_api`."""

from antiphon_api.main import main

if __name__ == "__main__":
    main()
