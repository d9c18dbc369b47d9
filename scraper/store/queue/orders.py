"""Orders to a running crawl, through its database: no port, no signal, from any process that may write the file.

A crawl asks once a second for what is new to it, so every process of a crawl hears every order.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from scraper.core.models import LIMIT, RETRY, STOP, Command

__all__ = ["LIMIT", "STOP", "commands_after", "forget_stops", "send_command", "set_limit"]


def send_command(
    conn: sqlite3.Connection, run: int, what: str, argument: Mapping[str, Any], now: float
) -> None:
    """Leave an order for whoever crawls `run`."""
    conn.execute(
        "INSERT INTO _commands (run, what, argument, at) VALUES (?, ?, ?, ?)",
        (run, what, json.dumps(dict(argument)), now),
    )


def set_limit(
    conn: sqlite3.Connection, run: int, domain: str, changes: Mapping[str, str], now: float
) -> None:
    """Leave other limits for a domain."""
    send_command(conn, run, LIMIT, {"domain": domain, "changes": dict(changes)}, now)


def commands_after(conn: sqlite3.Connection, run: int, after: int) -> list[Command]:
    """The orders for a run that came after the one with this id, oldest first."""
    rows = conn.execute(
        "SELECT id, what, argument FROM _commands WHERE run = ? AND id > ? ORDER BY id", (run, after)
    ).fetchall()
    return [Command(id_, what, json.loads(argument)) for id_, what, argument in rows]


def forget_stops(conn: sqlite3.Connection, run: int) -> None:
    """The run goes on: what stopped it was obeyed, and attempts that were asked for were made. All else still holds."""
    conn.execute("DELETE FROM _commands WHERE run = ? AND what IN (?, ?)", (run, STOP, RETRY))
