"""The summary of a run that has just ended, read on a connection of its own while its crawl still holds the database."""

from __future__ import annotations

from scraper.core.models import Run
from scraper.errors import QueryError, StoreError
from scraper.query.connection import InlineReader, Reader, ThreadReader
from scraper.reports.summary import RunFacts, Summary, summarize
from scraper.store.file.writer import explaining

__all__ = ["read_summary"]


async def read_summary(path: str, run: Run, facts: RunFacts, *, inline: bool = False) -> Summary:
    """`summarize` over a connection of its own, in a thread unless `inline`. Raises StoreError."""
    reader: Reader
    try:
        if inline:
            reader = InlineReader(path)
        else:
            reader = ThreadReader(path)
            await reader.open()
    except QueryError as error:
        raise StoreError(str(error)) from error
    try:
        with explaining(path):
            return await reader.run(lambda conn: summarize(conn, run, facts))
    finally:
        await reader.close()
