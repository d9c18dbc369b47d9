"""The command line. stdout is data, stderr is everything else."""

from scraper.cli.main import main

__all__ = ["main"]
