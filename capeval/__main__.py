"""`python -m capeval` is `capeval`."""

from capeval.cli import main

if __name__ == "__main__":
    main()
