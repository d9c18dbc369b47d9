"""`scraper doctor`: what this installation and this project are like, and what is wrong with them."""

from __future__ import annotations

import click

__all__ = ["doctor"]


@click.command()
def doctor() -> int:
    """What a bug report should say of this machine and this project; what is wrong, and the remedy.

    Exit code 0: all is well. 2: the configuration, a variable or a spider is not valid. 1: anything else.
    """
    from scraper.cli.health import Finding, findings
    from scraper.core.tracebacks import printable

    def show(finding: Finding) -> None:
        mark = "✗" if finding.code else " "
        click.echo(printable(f"{mark} {finding.name:17} {finding.value}".rstrip()))
        if finding.remedy:
            click.echo(printable(f"  {'':17} → {finding.remedy}"))

    codes = []
    for finding in findings():
        show(finding)
        codes.append(finding.code)
    faults = sum(code > 0 for code in codes)
    told = (
        "all is well" if not faults else "one thing is wrong" if faults == 1 else f"{faults} things are wrong"
    )
    click.echo(f"{'✗' if faults else '✓'} {told}", err=True)
    return max(codes)
