"""W10: NEC and IBM characters and the wide tilde in EUC-JP, half-width katakana in ISO-2022-JP, C1 in windows-1252."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.wire_rows.plain_site import Reply, crawled

__all__ = ["RIGHT", "replay"]

PAGES = {
    "euc-jp": b"\xad\xa1\xad\xea\xad\xe2\xfc\xe2\xa1\xc1!",
    "iso-2022-jp": b"\x1b(I1\x1b$B-!\x1b(B!",
    "windows-1252": b"\x81\x8d!",
}
RIGHT: str = "euc-jp ①㈱№髙～!; iso-2022-jp ｱ①!; windows-1252 U+0081 U+008D !"


def _parse(self: Any, page: Any) -> Any:
    yield {"text": page.source}


def replay() -> str:
    """Crawl a page in each charset, and tell the text that was read."""
    told = []
    for charset, body in PAGES.items():

        def answer(
            path: str, headers: Mapping[str, str], body: bytes = body, charset: str = charset
        ) -> Reply:
            return Reply(body, headers={"Content-Type": f"text/html; charset={charset}"})

        text = crawled(_parse, answer).rows[0]["text"]
        shown = "".join(f"U+{ord(char):04X} " if 0x80 <= ord(char) < 0xA0 else char for char in text)
        told.append(f"{charset} {shown}")
    return "; ".join(told)
