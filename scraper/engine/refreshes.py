"""Pages that send their reader elsewhere at once, as a redirect does: where to, and whether that is heeded."""

from __future__ import annotations

from collections import Counter

from scraper.core.charsets import BodyText, with_encoded_query
from scraper.core.content_types import is_html
from scraper.core.urls import join
from scraper.engine.redirects import Hop
from scraper.errors import FetchError
from scraper.net.downloader import Reply
from scraper.net.messages import content_type_of, url_header_of
from scraper.page.document import HTTP
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
    header = url_header_of(reply.headers, b"refresh")
    if not header and not may_have_refresh(reply.body):
        return None
    content_type = content_type_of(reply.headers)
    if not is_html(content_type):
        return None
    text = BodyText(reply.body, content_type, hop.options.encoding or settings.encoding)
    refresh = find_refresh(header, text.text)
    if refresh is None or (target := _elsewhere(hop, refresh, text, settings.max_url)) is None:
        return None
    if refresh.delay <= longest:
        return target
    if counts is not None:
        counts["links.late-refresh"] += 1
    return None


def _elsewhere(hop: Hop, refresh: Refresh, text: BodyText, longest_url: int) -> str | None:
    """The target, unless it is none, or the page itself: a page that reloads does not redirect."""
    if not refresh.target:
        return None
    try:
        target = _joined(_base(hop.url, refresh, text), refresh.target, text)
        url, _ = check_url(target, longest_url)
    except (ValueError, FetchError):
        return None
    reloads = url.partition("#")[0] == hop.url.partition("#")[0] and hop.options.method == "GET"
    return None if reloads else target


def _base(url: str, refresh: Refresh, text: BodyText) -> str:
    """What the target is relative to: the declared base where it is usable, else the page's URL, as for links."""
    try:
        base = _joined(url, refresh.base, text)
    except ValueError:
        return url
    return base if base.startswith(HTTP) else url


def _joined(base: str, link: str, text: BodyText) -> str:
    """`link` absolute, its query in the encoding of the page. Raises ValueError for one that is not a URL."""
    return join(base, link if link.isascii() else with_encoded_query(link, text.query_encoding()))
