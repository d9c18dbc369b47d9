"""JSON that may be very long. The module's own scanner is one call into C, in which no other thread runs."""

from __future__ import annotations

import json
from json.decoder import JSONDecoder
from json.scanner import py_make_scanner  # type: ignore[attr-defined]  # as the decoder gets it without C
from typing import Any, Final

from scraper.core.json_depth import check_depth

__all__ = ["read_json"]

#: Commas and brackets up to which the scanner in C is quick: 300,000 empty lists take it 40 ms.
MANY: Final = 300_000


def read_json(text: str | bytes) -> Any:
    """As `json.loads`; a text of very many values takes 1 µs for each, and lets other threads run.

    Raises ValueError for what is not JSON, or is nested deeper than 300 levels.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    check_depth(text)
    if text.count(",") + text.count("[") + text.count("{") <= MANY:
        return json.loads(text)
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
    decoder = JSONDecoder()
    decoder.scan_once = py_make_scanner(decoder)  # type: ignore[attr-defined]  # what JSONDecoder calls
    return decoder.decode(text)
