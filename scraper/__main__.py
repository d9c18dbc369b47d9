"""`python -m scraper`."""

from scraper.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
