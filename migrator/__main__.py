"""Lets `python -m migrator` run."""

from migrator.cli import main

if __name__ == "__main__":
    main()
