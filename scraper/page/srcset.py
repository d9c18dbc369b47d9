"""The images that `srcset` offers (HTML standard, "parse a srcset attribute")."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["SRCSETS", "Candidate", "srcset", "urls_in"]

#: Attributes that hold several URLs.
SRCSETS: Final = frozenset({"srcset", "imagesrcset"})
_URL: Final = re.compile(r"[\s,]*+(\S++)")
_DESCRIPTORS: Final = re.compile(r"((?:[^,(]|\([^)]*+\)?)*+),?")
_WIDTH: Final = re.compile(r"(?:^|\s)([0-9]{1,9})w(?=\s|$)")
_DENSITY: Final = re.compile(r"(?:^|\s)([0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})x(?=\s|$)")


class Candidate(NamedTuple):
    """One image of a srcset: its URL as it is written, and its width in pixels or its pixel density where that is said."""

    url: str
    width: int | None = None
    density: float | None = None


def srcset(text: str) -> list[Candidate]:
    """The images a srcset offers, in order: `srcset(page.attr("img", "srcset"))`."""
    found, at = [], 0
    while url := _URL.match(text, at):
        address, at, said = url[1], url.end(), ""
        if not address.endswith(",") and (descriptors := _DESCRIPTORS.match(text, at)):
            said, at = descriptors[1].strip(), descriptors.end()
        width, density = _WIDTH.search(said), _DENSITY.search(said)
        found.append(
            Candidate(
                address.rstrip(","), int(width[1]) if width else None, float(density[1]) if density else None
            )
        )
    return found


def urls_in(values: list[str | None]) -> list[str | None]:
    """The URLs in the values of an attribute that holds several (`SRCSETS`); None for an element that lacks it."""
    return [url for value in values for url in ([None] if value is None else [c.url for c in srcset(value)])]
