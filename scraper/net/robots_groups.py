"""Which lines of a robots.txt are about us, read as RFC 9309 sections 2.2.1 and 2.2.4 say, and generously.

Groups are ours to find: a parser that is given the whole file matches parts of names, ends a group at a line it does not
know, and keeps the rules of everybody. What is left, the rules of one group, is for the matcher.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

__all__ = ["ENDLESS", "Group", "group_for", "product_token"]

#: Seconds of a Crawl-delay that mean "for ever".
ENDLESS = 1e9

_SPACE = r"[^\S\n]*"
#: A line that says something, with the misspellings that are about; a blank may stand for the colon.
_LINE = re.compile(
    rf"^[\ufeff]?{_SPACE}(?:(?P<agent>user[- ]?agent)|(?P<disallow>diss?all?ow|diasllow|disallaw)|(?P<allow>allow)"
    rf"|(?P<delay>crawl[- ]delay)|(?P<rate>request[- ]rate)|(?P<time>visit[- ]time))"
    rf"(?:{_SPACE}:|[^\S\n]|$)(?P<value>[^#\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
#: A product token (section 2.2.1); what stands for it where a name begins with another character.
_TOKEN, _NAME = re.compile(r"[A-Za-z_-]+"), re.compile(r"[^\s/;(]*")
_COMPATIBLE = re.compile(r"mozilla/[^(]*\([^)]*?compatible;[^\S\n]*([a-z_-]+)", re.IGNORECASE)
_SECONDS = re.compile(r"(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:e\+?[0-9]++)?", re.IGNORECASE)
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*([smhd]?)", re.IGNORECASE)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
#: Characters at which Python ends a line and RFC 9309 does not.
_BREAKS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


@dataclass(slots=True)
class Group:
    """What a robots.txt says to one crawler. `delay` is the longest pause in seconds that it asks for, 0 for none.

    `hours` is the value of its first Visit-time, "" for none; `name` is whom it is for, `found` says whether the file
    has it.
    """

    lines: list[str] = field(default_factory=list)
    delay: float = 0.0
    hours: str = ""
    found: bool = False
    name: str = "*"

    @property
    def rules(self) -> str:
        """Its rules as a file of one group for everyone."""
        return _BREAKS.sub(lambda found: quote(found[0]), "\n".join(["User-agent: *", *self.lines]))

    def add(self, kind: str, value: str) -> None:
        """Take in one line."""
        match kind:
            case "allow" | "disallow":
                self.lines.append(f"{kind}: {value}")
            case "delay" if _SECONDS.fullmatch(value):
                self.delay = max(self.delay, min(float(value), ENDLESS))
            case "rate" if found := _RATE.match(value):
                if requests := int(found[1]):
                    asked = int(found[2]) * _UNITS[found[3].lower()] / requests
                    self.delay = max(self.delay, min(asked, ENDLESS))
            case "time":
                self.hours = self.hours or value


@lru_cache(maxsize=64)
def product_token(user_agent: str) -> str:
    """The name by which a robots.txt knows who sends this User-Agent, in lower case; "" for none.

    It is the product named first, without version and comment: `scraper` of `scraper/1.0 (+https://example.com/bot)`.
    Of `Mozilla/5.0 (compatible; Foobot/1.0)` it is `foobot`.
    """
    found = _COMPATIBLE.match(user_agent)
    return found[1].lower() if found else _token(user_agent)


def group_for(text: str, token: str) -> Group:
    """The groups that name `token`, as one; without any, those for everyone.

    Between the lines that name a group nothing but a rule ends it. A delay counts for those named before it.
    """
    named, everyone = Group(name=token), Group()
    current: list[Group] = []
    has_rules = True
    for kind, value in _lines(text):
        if kind == "agent":
            if has_rules:
                current, has_rules = [], False
            meant = (
                named
                if token and _token(value) == token
                else everyone
                if value.split()[:1] == ["*"]
                else None
            )
            if meant is not None and not any(meant is group for group in current):
                meant.found = True
                current.append(meant)
            continue
        has_rules = has_rules or kind.endswith("allow")
        for group in current:
            group.add(kind, value)
    return named if named.found else everyone


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """(what it is, value) of each line that says something.

    Lines end with CR, LF or both. NULs, which a file in UTF-16 without a mark is full of, say nothing.
    """
    for found in _LINE.finditer(text.replace("\0", "").replace("\r", "\n")):
        yield _kind(found), found["value"].strip()


def _kind(found: re.Match[str]) -> str:
    return next(name for name in ("agent", "disallow", "allow", "delay", "rate", "time") if found[name])


def _token(text: str) -> str:
    found = _TOKEN.match(text.strip()) or _NAME.match(text.strip())
    return found[0].lower() if found else ""
