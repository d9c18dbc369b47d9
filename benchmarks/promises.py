"""Whether what a crawl promises was on while it was measured, asked of the database it left."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks.serving import BenchmarkError, Server

__all__ = ["promises"]


def promises(database: Path, pages: int, items: int, table: str, server: Server) -> str:
    """One sentence of proof. Raises BenchmarkError, with what is missing, where a promise was off."""
    with closing(sqlite3.connect(database)) as conn:

        def one(sql: str, *values: object) -> int:
            found: int = conn.execute(sql, values).fetchone()[0]
            return found

        history = one("SELECT count(*) FROM sqlite_master WHERE name = ?", f"_{table}_history")
        facts = {
            "the run is complete": one("SELECT count(*) FROM _runs WHERE state = 'complete'") == 1,
            "robots.txt of every host was asked for and is remembered": one(
                "SELECT count(*) FROM _origins WHERE status IS NOT NULL"
            )
            == one("SELECT count(*) FROM _sends WHERE kind = 'robots'")
            == len(server.netlocs),
            "every request is in the queue's table, done, once": one(
                "SELECT count(DISTINCT fingerprint) FROM _requests WHERE state = 1"
            )
            == one("SELECT count(*) FROM _requests")
            == pages,
            "every send is recorded with the limits in force": one(
                "SELECT count(DISTINCT request) FROM _sends JOIN _paces ON _paces.id = pace WHERE kind = 'page'"
            )
            == pages
            and one("SELECT count(*) FROM _sends WHERE pace IS NULL") == 0,
            "every item knows its page and has a history": one(
                f'SELECT count(*) FROM "{table}" JOIN _requests ON _requests.id = _request'  # noqa: S608
            )
            == items
            and history == 1,
            "selectors are counted": one("SELECT coalesce(max(pages), 0) FROM _selectors") > 0,
        }
        missing = [fact for fact, holds in facts.items() if not holds]
    if missing:
        raise BenchmarkError(f"a promise was off: not shown that {'; not that '.join(missing)}")
    return "on: " + "; ".join(facts)
