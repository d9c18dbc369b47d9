"""`scraper doctor`: what this installation and this project are like, and what is wrong with them.

Without an option the command does not come here: `cli.main` calls `examine` itself, since click may be broken.
"""

from __future__ import annotations

import click

from scraper.cli.health import examine

__all__ = ["doctor"]


@click.command()
def doctor() -> int:
    """Check this installation and this project, and say how to fix what is wrong.

    Exit code 0: all is well. 2: the configuration, a variable or a spider is not valid. 1: anything else.
    """
    return examine()
