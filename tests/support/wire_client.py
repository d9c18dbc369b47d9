"""Requests over the real wire, one at a time, without a crawl around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from scraper.net.wire.errors import kind_of
from scraper.net.wire.wire import Wire

__all__ = ["get", "kind", "wire"]


@contextlib.asynccontextmanager
async def wire(**options: Any) -> AsyncIterator[Wire]:
    transport = Wire(**options)
    try:
        yield transport
    finally:
        await transport.aclose()


async def get(transport: Wire, url: str, method: str = "GET", **options: Any) -> tuple[int, bytes]:
    """Send and read to the end."""
    response = await transport.handle_async_request(httpx.Request(method, url, **options))
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        return response.status_code, b"".join([chunk async for chunk in response.stream])
    finally:
        await response.stream.aclose()


async def kind(transport: Wire, url: str, method: str = "GET") -> str:
    """The kind of the failure of a request."""
    with pytest.raises((httpx.TransportError, httpx.InvalidURL)) as caught:
        await get(transport, url, method)
    assert str(caught.value)
    return kind_of(caught.value)
