"""`python -m antiphon_worker`."""

if __name__ == "__main__":  # a slot's child imports this module as well, and must stay small
    from antiphon_worker.main import main

    main()
