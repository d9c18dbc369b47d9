"""Pages that send their reader elsewhere at once, as a redirect does: where to, and whether that is heeded."""

from __future__ import annotations

from collections import Counter

from scraper.core.charsets import decode_text
from scraper.core.content_types import is_html
from scraper.core.urls import join
from scraper.engine.redirects import Hop
from scraper.errors import FetchError
from scraper.net.downloader import Reply
from scraper.net.messages import content_type_of, header_of
from scraper.page.meta_refresh import Refresh, find_refresh, may_have_refresh
from scraper.settings import Settings
from scraper.spider.scope import check_url

__all__ = ["refresh_target"]

#: Methods whose answer is a page.
METHODS = frozenset({"GET", "POST"})


def refresh_target(
    hop: Hop, reply: Reply, settings: Settings, counts: Counter[str] | None = None
) -> str | None:
    """Where an HTML page leads within `settings.meta_refresh` seconds (None: no page does), absolute.

    None for one that leads nowhere, to itself, or not to http(s). What takes longer is added to `counts`.
    """
    longest = settings.meta_refresh
    if longest is None or not 200 <= reply.status < 300 or hop.options.method not in METHODS:
        return None
    header = header_of(reply.headers, b"refresh")
    if not header and not may_have_refresh(reply.body):
        return None
    content_type = content_type_of(reply.headers)
    if not is_html(content_type):
        return None
    refresh = find_refresh(header, lambda: decode_text(reply.body, content_type))
    if refresh is None or (target := _elsewhere(hop, refresh, settings.max_url)) is None:
        return None
    if refresh.delay <= longest:
        return target
    if counts is not None:
        counts["links.late-refresh"] += 1
    return None


def _elsewhere(hop: Hop, refresh: Refresh, longest_url: int) -> str | None:
    """The target, unless it is none, or the page itself: a page that reloads does not redirect."""
    if not refresh.target:
        return None
    try:
        target = join(join(hop.url, refresh.base) if refresh.base else hop.url, refresh.target)
        url, _ = check_url(target, longest_url)
    except (ValueError, FetchError):
        return None
    reloads = url.partition("#")[0] == hop.url.partition("#")[0] and hop.options.method == "GET"
    return None if reloads else target
