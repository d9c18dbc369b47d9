"""W9: a link `/s?q=…` on pages in windows-1251, gbk, euc-jp, shift_jis and latin-1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.wire_rows.plain_site import Reply, crawled

__all__ = ["RIGHT", "replay"]

WORDS = {"windows-1251": "привет", "gbk": "中文", "euc-jp": "日本", "shift_jis": "日本", "iso-8859-1": "é"}
RIGHT: str = "windows-1251 %EF%F0%E8%E2%E5%F2; gbk %D6%D0%CE%C4; euc-jp %C6%FC%CB%DC; shift_jis %93%FA%96%7B; iso-8859-1 %E9"


def _parse(self: Any, page: Any) -> Any:
    yield page.follow_all("a")


def replay() -> str:
    """Crawl a page in each charset, and tell the query that was asked for."""
    told = []
    for charset, word in WORDS.items():
        body = f'<a href="/s?q={word}">x</a>'.encode(charset)

        def answer(
            path: str, headers: Mapping[str, str], body: bytes = body, charset: str = charset
        ) -> Reply:
            return Reply(body, headers={"Content-Type": f"text/html; charset={charset}"})

        asked = crawled(_parse, answer).asked
        told.append(f"{charset} {asked[1].removeprefix('/s?q=').replace('{', '%7B')}")
    return "; ".join(told)
