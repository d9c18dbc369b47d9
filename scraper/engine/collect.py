"""From what a callback yields to what is stored: rows, rejections and requests, sorted as they come."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

from scraper.core.models import ItemRow, Rejected, Request
from scraper.core.timing import timed
from scraper.core.tracebacks import describe
from scraper.errors import ItemError
from scraper.items import Items
from scraper.page import FailedRow

__all__ = ["Collector", "consume"]


class Collector:
    """Takes what the callback `name` yields. Requests and items stay in the order they came.

    An item that cannot be stored becomes a rejection with its place; what is neither item nor request is a
    TypeError naming the callback.
    """

    __slots__ = ("_items", "_most", "_ordinal", "name", "rejected", "requests", "rows", "url")

    def __init__(self, items: Items, name: str, most: int, url: str = "") -> None:
        """`most` items and as many requests of the page at `url` are taken: they are held until it is stored as a whole."""
        self._items = items
        self._most = most
        self.name = name
        self.url = url
        self._ordinal = 0
        self.rows: list[ItemRow] = []
        self.rejected: list[Rejected] = []
        self.requests: list[Request] = []

    @timed("items")
    def take(self, thing: Any, place: str) -> None:
        """One thing a callback yielded or returned; `place` is its file:line."""
        if thing is None:
            return
        if isinstance(thing, Request):
            if len(self.requests) >= self._most:
                raise self._too_many("requests")
            self.requests.append(thing)
        elif isinstance(thing, FailedRow):
            self._reject_row(thing, place)
        elif self._items.is_item(thing):
            self._take_item(thing, place)
        elif isinstance(thing, (list, tuple, Iterator)):
            for part in thing:
                self.take(part, place)
        else:
            raise TypeError(
                f"{self.name} yielded {_shown(thing)}: a callback yields items (dataclass, attrs, pydantic, "
                "msgspec, TypedDict, dict), requests, or lists of them"
            )

    def _take_item(self, item: Any, place: str) -> None:
        if self._ordinal >= self._most:
            raise self._too_many("items")
        self._ordinal += 1
        try:
            self.rows.append(self._items.convert(item, self._ordinal, place))
        except ItemError as error:
            table = error.item or type(item).__name__
            self.rejected.append(Rejected(table, str(error), _shown(item), place))

    def _too_many(self, what: str) -> ValueError:
        return ValueError(
            f"{self.name} yielded more than {self._most} {what} for one page (max_yield), which is stored as a "
            "whole or not at all; spread them over several requests, or raise max_yield"
        )

    def _reject_row(self, row: FailedRow, place: str) -> None:
        record = describe(row.error, "row", self.name, place)
        self.rejected.append(Rejected("", record.message, row.html, record.place))


def _shown(thing: Any) -> str:
    text = repr(thing)
    return f"{type(thing).__name__} {text if len(text) <= 300 else text[:300] + '…'}"


async def consume(result: Any, collector: Collector, place: str) -> None:
    """Drain whatever a callback returned: nothing, a value, a generator, a coroutine, an async generator.

    `place` is where the callback is defined (file:line); a generator's own line is used where there is one.
    """
    if inspect.isawaitable(result):
        result = await result
    if inspect.isgenerator(result):
        file = result.gi_code.co_filename
        for thing in result:
            # Its frame is never kept in a name: one that outlives its generator holds its callers from Python 3.12
            # on, this function among them, and only the garbage collector would free the page.
            line = getattr(result.gi_frame, "f_lineno", 0)
            collector.take(thing, f"{file}:{line}" if line else place)
    elif isinstance(result, AsyncIterator):
        async for thing in result:
            collector.take(thing, place)
    else:
        collector.take(result, place)
