"""`scraper politeness`: prove from the database that a crawl was polite, or show where it was not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from scraper.cli.database import opened
from scraper.cli.terminal.formatting import number, plural
from scraper.core.models import Rate
from scraper.core.tracebacks import printable
from scraper.query import QueryResult, write_answer
from scraper.reports.json_form import to_json
from scraper.reports.politeness import DomainProof, PolitenessReport, ProvenSend, politeness_of

__all__ = ["politeness"]

#: Broken rules shown.
PAIRS = 10
COLUMNS = (
    "domain",
    "sends",
    "connects",
    "rate",
    "gap",
    "busiest window",
    "at once",
    "pause",
    "waits",
    "robots",
    "verdict",
)


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="Only this run; otherwise all of them together.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line: a domain each, then the verdict."
)
def politeness(database: str, run: int | None, as_json: bool) -> int:
    """Prove from DATABASE that rate, concurrency, Crawl-delay, Retry-After and robots.txt were kept."""
    with opened(database) as reading:
        report = reading.read(politeness_of, run, _write_json if as_json else None)
    if as_json:
        _write_json(report.verdict)
    else:
        _show(report)
    return 0 if report.verdict.kept else 1


def _write_json(value: object) -> None:
    click.echo(json.dumps(to_json(value), ensure_ascii=False))


def _show(report: PolitenessReport) -> None:
    verdict = report.verdict
    if report.proofs:
        write_answer(QueryResult(COLUMNS, _rows(report.proofs)), sys.stdout, whole=not sys.stdout.isatty())
    if verdict.domains > len(report.proofs):
        click.echo(f"… and {plural(verdict.domains - len(report.proofs), 'domain')} more, all kept")
    _show_broken(report.proofs)
    if report.unknown:
        said = "were stored by an earlier version, without what was in force: they prove nothing"
        click.echo(f"! {plural(report.unknown, 'request')} {said}", err=True)
    what = f"{plural(verdict.sends, 'request')} to {plural(verdict.domains, 'domain')}"
    click.echo(f"✓ kept: {what}" if verdict.kept else f"✗ broken: {what}", err=True)


def _show_broken(proofs: Sequence[DomainProof]) -> None:
    broken = [(proof.domain, rule) for proof in proofs for rule in proof.broken]
    for domain, rule in broken[:PAIRS]:
        click.echo(f"\n{domain}  {rule.rule}: {rule.said}")
        for send in rule.sends:
            click.echo(f"  {_told(send)}")
    if len(broken) > PAIRS:
        click.echo(f"\n… and {number(len(broken) - PAIRS)} more")


def _rows(proofs: Sequence[DomainProof]) -> Iterator[tuple[Any, ...]]:
    for proof in proofs:
        window, gap = proof.busiest, proof.smallest_gap
        busiest = f"{window.requests} in {window.seconds:.2f} s (of {window.allowed:.1f})" if window else ""
        yield (
            proof.domain, proof.sends, proof.connects or "", _rate(proof), None if gap is None else f"{gap:.3f}",
            busiest, f"{proof.most_open} of {proof.may_open}", f"{proof.pause:g}" if proof.pause else "",
            proof.waits or "", proof.robots or "", "broken" if proof.broken else "kept",
        )  # fmt: skip


def _rate(proof: DomainProof) -> str:
    """The rate in force; two where it changed."""
    if proof.gaps is None:
        return "none"
    slowest, fastest = (Rate(1 / gap) for gap in reversed(proof.gaps))
    return _short(slowest) if slowest == fastest else f"{_short(slowest)} … {_short(fastest)}"


def _short(rate: Rate) -> str:
    return str(Rate(float(f"{rate.per_second:.3g}")))


def _told(send: ProvenSend) -> str:
    at = datetime.fromtimestamp(send.sent, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    answer = send.status if send.status is not None else "no answer"
    return f"{at}Z  {send.kind}  {answer}  {printable(send.url)}  (run {send.run})"
