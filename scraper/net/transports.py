"""The transports of one crawl: opened with its settings, closed at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from scraper.net.downloader import Downloader
from scraper.net.guard import Guard
from scraper.net.wire.wire import Wire
from scraper.settings import Settings

__all__ = ["open_wires"]


@asynccontextmanager
async def open_wires(
    settings: Settings,
    named: Mapping[str, httpx.AsyncBaseTransport],
    given: httpx.AsyncBaseTransport | None,
) -> AsyncIterator[Downloader]:
    """A downloader over `given`, or the default wire, which is ours to close, and over those `named` by a spider."""
    if given is not None:
        yield Downloader({"": given, **named})
        return
    own = Wire(
        connect_timeout=settings.connect_timeout,
        guard=Guard(settings.private_hosts),
        insecure=settings.insecure_hosts,
        tls=settings.tls,
    )
    try:
        yield Downloader({"": own, **named})
    finally:
        await own.aclose()
