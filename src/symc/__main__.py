"""`python -m symc`."""

from symc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
