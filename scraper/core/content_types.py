"""What a Content-Type says: compared part by part, never as a piece of text (RFC 9110 section 8.3, RFC 6839)."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["is_accepted", "is_html"]

#: One type, as servers write it: quotes around it, or a blank before its parameters, do no harm.
_TYPE = re.compile(r"[^\s;,\"']+")
#: What servers send when they do not know.
_UNKNOWN = frozenset({"*/*", "unknown/unknown", "application/unknown"})
#: Main types whose formats in XML or JSON are not pages, such as image/svg+xml.
_MEDIA = frozenset({"image", "audio", "video", "font", "model"})
#: Other names of a format.
_ALSO = {"json": frozenset({"ndjson", "jsonl", "jsonlines", "json-seq"}), "html": frozenset({"xhtml"})}


@lru_cache(maxsize=1_024)
def is_accepted(content_type: str, wanted: tuple[str, ...]) -> bool:
    """Whether the type of an answer is one of those that are wanted; no type at all always is.

    What may be wanted: a full type (`application/pdf`), a main type (`text/*`, `text/`), `*/*`, or one word: a subtype or
    a suffix (`xml` is `text/xml` and `application/rss+xml`), or a main type (`image`).
    """
    given = [
        kind
        for part in content_type.lower().split(",")
        if (found := _TYPE.search(part)) and (kind := found[0]) not in _UNKNOWN
    ]
    return not given or any(_matches(kind, want.strip().lower()) for kind in given for want in wanted)


@lru_cache(maxsize=1_024)
def is_html(content_type: str) -> bool:
    """Whether an answer is an HTML page; one without a type may be."""
    return is_accepted(content_type, ("text/html", "application/xhtml+xml"))


def _matches(kind: str, want: str) -> bool:
    want = want.partition(";")[0].strip()
    if want in {"*", "*/*", "/"}:
        return True
    main, slash, subtype = kind.partition("/")
    if "/" in want:
        wanted_main, _, wanted_subtype = want.partition("/")
        return main == wanted_main and (wanted_subtype in {"", "*"} or subtype == wanted_subtype)
    if not slash:  # "html", which is not a type but says enough
        subtype = main
    return want == main or bool(_words(main, subtype) & ({want} | _ALSO.get(want, frozenset())))


def _words(main: str, subtype: str) -> frozenset[str]:
    """What a subtype may be called: itself, and its suffix unless that is only how some media are written."""
    base, _, suffix = subtype.rpartition("+")
    names = {subtype, base} if main in _MEDIA else {subtype, base, suffix}
    return frozenset({name.removeprefix("x-") for name in names} | names) - {""}
