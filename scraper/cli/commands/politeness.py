"""`scraper politeness`: prove from the database that a crawl was polite, or show where it was not."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from scraper.cli.database import opened
from scraper.cli.terminal.formatting import number, plural
from scraper.core.models import Rate
from scraper.core.tracebacks import printable
from scraper.query import Answer, write_answer
from scraper.reports.politeness import Broken, DomainProof, SendRow, prove
from scraper.reports.robots_rules import RulesThen
from scraper.reports.runs import latest_run

__all__ = ["politeness"]

#: Domains shown of a proof that holds, and offending pairs of one that does not.
SHOWN, PAIRS = 40, 10
COLUMNS = (
    "domain",
    "sends",
    "rate",
    "gap",
    "busiest window",
    "at once",
    "pause",
    "waits",
    "robots",
    "verdict",
)


@dataclass(slots=True)
class _Total:
    """What all domains together come to; the rows that are shown, and the pairs."""

    sends: int = 0
    domains: int = 0
    unknown: int = 0
    shown: list[DomainProof] = field(default_factory=list)
    broken: list[tuple[str, Broken]] = field(default_factory=list)

    def add(self, proof: DomainProof) -> None:
        self.sends += proof.sends
        self.domains += 1
        self.unknown += proof.unknown
        if proof.broken or len(self.shown) < SHOWN:
            self.shown.append(proof)
        self.broken += ((proof.domain, broken) for broken in proof.broken)


@click.command()
@click.argument("database")
@click.option("--run", type=int, metavar="N", help="Only this run; otherwise all of them together.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line: a domain each, then the verdict."
)
def politeness(database: str, run: int | None, as_json: bool) -> int:
    """Prove from DATABASE that rate, concurrency, Crawl-delay, Retry-After and robots.txt were kept."""
    total = _Total()
    with opened(database) as conn:
        chosen = None if run is None else latest_run(conn, run)
        latest_run(conn)
        for proof in prove(conn, chosen):
            total.add(proof)
            if as_json:
                click.echo(json.dumps(_as_json(conn, proof), ensure_ascii=False))
        if as_json:
            click.echo(json.dumps({"kept": not total.broken, "sends": total.sends, "domains": total.domains}))
        else:
            _show(conn, total)
    return 1 if total.broken else 0


def _show(conn: sqlite3.Connection, total: _Total) -> None:
    if total.shown:
        write_answer(Answer(COLUMNS, _rows(total.shown)), sys.stdout)
    if total.domains > len(total.shown):
        click.echo(f"… and {plural(total.domains - len(total.shown), 'domain')} more, all kept")
    for domain, broken in total.broken[:PAIRS]:
        click.echo(f"\n{domain}  {broken.rule}: {broken.said}")
        for send in filter(None, (broken.first, broken.second)):
            click.echo(f"  {_told(conn, send)}")
    if len(total.broken) > PAIRS:
        click.echo(f"\n… and {number(len(total.broken) - PAIRS)} more")
    if total.unknown:
        said = "were stored by an earlier version, without what was in force: they prove nothing"
        click.echo(f"! {plural(total.unknown, 'request')} {said}", err=True)
    what = f"{plural(total.sends, 'request')} to {plural(total.domains, 'domain')}"
    click.echo(f"✗ broken: {what}" if total.broken else f"✓ kept: {what}", err=True)


def _rows(proofs: Iterable[DomainProof]) -> Iterator[tuple[Any, ...]]:
    for proof in proofs:
        window = proof.busiest
        busiest = f"{window.requests} in {window.seconds:.2f} s (of {window.allowed:.1f})" if window else ""
        yield (
            proof.domain, proof.sends, _rate(proof), None if proof.smallest is None else f"{proof.smallest:.3f}",
            busiest, f"{proof.most_open} of {proof.may_open}", f"{proof.pause:g}" if proof.pause else "",
            proof.waits or "", proof.rules or "", "broken" if proof.broken else "kept",
        )  # fmt: skip


def _rate(proof: DomainProof) -> str:
    """The rate in force; two where it changed."""
    if proof.gaps is None:
        return "none"
    slowest, fastest = (Rate(1 / gap) for gap in reversed(proof.gaps))
    return _short(slowest) if slowest == fastest else f"{_short(slowest)} … {_short(fastest)}"


def _short(rate: Rate) -> str:
    return str(Rate(float(f"{rate.per_second:.3g}")))


def _told(conn: sqlite3.Connection, send: SendRow) -> str:
    at = datetime.fromtimestamp(send.sent, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    answer = send.status if send.status is not None else "no answer"
    return f"{at}Z  {send.kind}  {answer}  {printable(RulesThen(conn).url_of(send.id))}  (run {send.run})"


def _as_json(conn: sqlite3.Connection, proof: DomainProof) -> dict[str, Any]:
    window = proof.busiest
    return {
        "domain": proof.domain,
        "sends": proof.sends,
        "unknown": proof.unknown,
        "gaps": proof.gaps,
        "smallest_gap": proof.smallest,
        "busiest": window
        and {"requests": window.requests, "seconds": window.seconds, "allowed": window.allowed},
        "most_open": proof.most_open,
        "may_open": proof.may_open,
        "pause": proof.pause,
        "waits": proof.waits,
        "robots": proof.rules,
        "broken": [
            {
                "rule": broken.rule,
                "said": broken.said,
                "sends": [
                    _send_json(conn, send) for send in (broken.first, broken.second) if send is not None
                ],
            }
            for broken in proof.broken
        ],
    }


def _send_json(conn: sqlite3.Connection, send: SendRow) -> dict[str, Any]:
    url = RulesThen(conn).url_of(send.id)
    return {
        "url": url,
        "kind": send.kind,
        "sent": send.sent,
        "ended": send.ended,
        "status": send.status,
        "run": send.run,
    }
