"""Numbers as people write them: "£51.77", "1.234,50 €", "In stock (22 available)", "-3".

A number is either read as it was meant or refused: what could mean two things is an error that says so.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

from scraper.errors import BadValue

__all__ = ["DecimalPoint", "read_decimal", "read_number"]

DecimalPoint = Literal[".", ","]

#: A selector that matched half a page is a mistake; searching it for a number would only take time.
MAX_TEXT = 10_000

#: No amount has more digits; Python itself refuses to convert beyond 4,300.
MAX_DIGITS = 100

_SPACES = " \u00a0\u2007\u2009\u202f"
_CURRENCY = "$£€¥₹₽₩₺₴₫฿₪₱"
_DIGITS = re.compile(rf"\d+(?:[.,'’{_SPACES}]\d+)*")
#: What stands before the digits and belongs to them: a minus that is no hyphen, the point of ".99".
_BEFORE = re.compile(rf"((?<!\w)(?:[-–][{_CURRENCY}]?|−[{_SPACES}]?[{_CURRENCY}]?))?((?<![\w.])[.,])?\Z")
#: What stands behind them and would change their value.
_SHORTHAND = re.compile(
    rf"[kKMB]\b|[\u00b2\u00b3\u00b9\u2070-\u2079]|[{_SPACES}]?[\u00bc-\u00be\u2150-\u215f]"
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:S\d{3})+|[1-9]\d?(?:S\d{2})+S\d{3}".replace("S", r"[.,'’ ]"))
#: The common case in one go: a single number, no grouping, nothing around it that could change its value.
_PLAIN = {
    point: re.compile(
        rf"[^\d.,–−-]*(\d{{1,30}})(?:{re.escape(point)}(\d{{1,30}}))?"
        r"(?![kKMB\u00b2\u00b3\u00b9\u2070-\u2079])[^\d\u00bc-\u00be\u2150-\u215f]*"
    )
    for point in (".", ",")
}
_ANY_SPACE = re.compile(f"[{_SPACES}]")
_SEPARATOR = re.compile(r"\D")
_LOOSE_MINUS = re.compile(rf"\s*[-–][{_SPACES}]+[{_CURRENCY}]?\d")


def read_number(text: str, decimal_point: DecimalPoint = ".") -> int | float:
    """The one number in a text: an int, or a float when a fraction is written.

    Raises BadValue as `read_decimal`.
    """
    written = _written(text, decimal_point)
    return float(written) if "." in written else int(written)


def read_decimal(text: str, decimal_point: DecimalPoint = ".") -> Decimal:
    """The one number in a text, exactly as written: "£51.70" keeps two places.

    Thousands may be grouped by a space, an apostrophe or the other of "." and ",", in threes (or as in
    India). A minus counts only where it is no hyphen. Raises BadValue, naming the text, when there is no
    number or several, when the grouping fits another `decimal_point`, and for shorthand (½, 10k).
    """
    return Decimal(_written(text, decimal_point))


def _written(text: str, decimal_point: DecimalPoint) -> str:
    """The number as Python writes it: optional minus, ASCII or other decimal digits, "." as the point."""
    if decimal_point not in _PLAIN:
        raise ValueError(f'decimal_point is "." or ",", not {decimal_point!r}')
    if len(text) > MAX_TEXT:
        raise _bad(f"more than {MAX_TEXT:,} characters are no number", text)
    if plain := _PLAIN[decimal_point].fullmatch(text):
        whole, fraction = plain.groups()
        return f"{whole}.{fraction}" if fraction else str(whole)
    minus, digits = _only_number(text)
    if len(digits) > MAX_DIGITS:
        raise _bad("a number of more than 100 digits", text)
    whole, point, fraction = digits.partition(decimal_point)
    if (point and not fraction.isdecimal()) or not (not whole or whole.isdecimal() or _is_grouped(whole)):
        raise _misgrouped(text, digits, decimal_point)
    return f"{minus}{_SEPARATOR.sub('', whole) or '0'}{'.' + fraction if point else ''}"


def _only_number(text: str) -> tuple[str, str]:
    """The minus, or nothing, and the digits of the one number in a text, with their separators."""
    runs = _DIGITS.finditer(text)
    run = next(runs, None)
    if run is None:
        raise _bad("no number", text)
    if next(runs, None) is not None:
        raise _bad("more than one number", text)
    if _SHORTHAND.match(text, run.end()):
        raise _bad("shorthand", text)
    if _LOOSE_MINUS.match(text):
        raise _bad("a dash that may be a minus", text)
    before = _BEFORE.search(text[max(0, run.start() - 5) : run.start()])
    minus, point = before.groups("") if before else ("", "")
    return "-" if minus else "", point + _ANY_SPACE.sub(" ", run[0])


def _is_grouped(whole: str) -> bool:
    """Whether digits are in thousands, by one kind of separator throughout, and not `0,123`."""
    return _GROUPED.fullmatch(whole) is not None and len(set(_SEPARATOR.findall(whole))) == 1


def _misgrouped(text: str, digits: str, decimal_point: DecimalPoint) -> BadValue:
    other: DecimalPoint = "," if decimal_point == "." else "."
    whole, point, fraction = digits.partition(other)
    fits = point and fraction.isdecimal() and (whole.isdecimal() or _is_grouped(whole))
    if fits or (not point and _is_grouped(whole)):
        why = f'not a number with decimal_point = "{decimal_point}"; set decimal_point = "{other}"?'
        return _bad(why, text)
    return _bad("more than one number, or no number at all", text)


def _bad(why: str, text: str) -> BadValue:
    return BadValue(f"{why}: {text if len(text) <= 200 else text[:200] + '…'!r}")
