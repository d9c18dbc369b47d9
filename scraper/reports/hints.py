"""Why something went wrong, as far as it can be said for certain: hints for errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from scraper.reports.failures import Problem
from scraper.reports.selectors import SelectorHits

__all__ = ["advice_for", "hint_for"]

_CLIENT_CERTIFICATE = "set tls: Tls(cert=…, key=…), with a certificate it accepts"
#: What to set where a TLS handshake failed, by what was said. docs/errors.md explains it.
_HANDSHAKES = (
    (r"protocol version|unsupported protocol", 'set tls: Tls(min="1.0")'),
    (
        r"certificate required|unknown ca|(?:bad|unsupported) certificate|certificate unknown",
        _CLIENT_CERTIFICATE,
    ),
    (
        r"handshake failure|cipher|insufficient security|dh key too small|legacy",
        "set tls: Tls(ciphers=…), or Tls(cert=…, key=…) if it asks for yours",
    ),
)
#: What to set where the certificate of a site was not accepted, by kind.
_CERTIFICATES = {
    "tls-untrusted": "set SSL_CERT_FILE to a file that has its authority, or insecure_hosts if you must",
    "tls-expired": "set insecure_hosts if you must",
    "tls-hostname": "set insecure_hosts if you must",
}


def hint_for(problem: Problem, missed: Sequence[SelectorHits] = ()) -> str:
    """What to write instead, where that is certain; else nothing. `missed` are selectors that found nothing."""
    code = problem.detail.rpartition("\n")[2].strip()
    for rule in _RULES:
        if hint := rule(problem.why, code):
            return hint
    return _meant(problem, missed)


def advice_for(kind: str, why: str, unrepeated: str = "") -> str:
    """What to set about a failure of the site's; "" where that is not known.

    `unrepeated` is as in `Problem`.
    """
    if unrepeated:
        meant = f"a {unrepeated} may have arrived, so it is sent once"
        advice = f"{meant}; if a second one changes nothing, set repeatable=True"
    else:
        advice = _CERTIFICATES.get(kind, "")
    if kind in {"tls", "connection"} and "tls" in why.lower():
        advice = next((told for said, told in _HANDSHAKES if re.search(said, why)), advice)
    return advice


def _meant(problem: Problem, missed: Sequence[SelectorHits]) -> str:
    """The selector a required reader was probably given by mistake."""
    place = problem.place.partition(" in ")[0]
    for hits in missed:
        if hits.place == place and hits.meant is not None and f'"{hits.selector}' in problem.why:
            matches = "1 match" if hits.meant_matches == 1 else f"{hits.meant_matches} matches"
            return f'did you mean "{hits.meant}"? ({matches} on the first page)'
    return ""


def _number(why: str, code: str) -> str:
    """`float(page.text(sel))` of a text with more than a number in it."""
    value = re.match(
        r"ValueError: (?:could not convert string to float|invalid literal for int\(\) with base 10): '(.*)'$",
        why,
    )
    if value is None and not why.startswith("InvalidOperation:"):
        return ""
    if value is not None and not any(c.isdigit() for c in value[1]):
        return ""
    reads = "number" if value and why.startswith("ValueError: invalid") else "decimal"
    what = 'numbers, such as the 22 in "In stock (22)"' if reads == "number" else "prices"
    call = re.search(r"(?:float|int|Decimal)\(\s*(\w+)\.text\((\"[^\"]*\"|'[^']*')\s*[),]", code)
    return f"{call[1]}.{reads}({call[2]}) reads {what}" if call else ""


def _none(why: str, code: str) -> str:
    """`page.first(sel).text()` where nothing matches."""
    if not re.match(r"(?:AttributeError|TypeError): 'NoneType' object ", why):
        return ""
    call = re.search(r"(\w+)\.first\((\"[^\"]*\"|'[^']*')\)\s*[.\[]", code)
    if call is None:
        return ""
    return f"first({call[2]}) is None when nothing matches: {call[1]}.one(…) says so, text(…, default=None) accepts it"


def _index(why: str, code: str) -> str:
    """`page.css(sel)[0]` where nothing matches."""
    if why != "IndexError: list index out of range":
        return ""
    call = re.search(r"(\w+)\.(css|texts|attrs|links)\([^()]*\)\[0\]", code)
    if call is None:
        return ""
    instead = {"css": "first(…)", "texts": "text(…, default=None)", "attrs": "attr(…, default=None)"}
    gives = instead.get(call[2], "first(…)")
    return f"nothing matched: {call[1]}.{gives} gives None then, {call[1]}.one(…) says what is missing"


def _json(why: str, code: str) -> str:
    """A page read as JSON that is none."""
    if re.match(r"(?:JSONDecodeError: |not JSON: )Expecting value: line 1 column 1 ", why) and (
        "json" in code and "page" in code
    ):
        return "the page is not JSON from its first character on; look at it with: scraper get"
    return ""


def _await(why: str, code: str) -> str:
    """A coroutine used as if it were what it gives."""
    if re.match(r"(?:AttributeError|TypeError): '(?:coroutine|async_generator)' object ", why) or re.search(
        r" yielded coroutine <", why
    ):
        return "write await before the call; the method it stands in must be async def"
    return ""


_RULES: tuple[Callable[[str, str], str], ...] = (_number, _none, _index, _json, _await)
