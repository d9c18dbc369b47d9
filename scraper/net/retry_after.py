"""Retry-After (RFC 9110 section 10.2.3): seconds, or a date in any of the three forms of HTTP (section 5.6.7)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx

from scraper.core.clock import StoredTime

__all__ = ["http_date", "retry_after"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-2]\d):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"
_FORMS = (
    # Sun, 06 Nov 1994 08:49:37 GMT
    re.compile(
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT", re.ASCII
    ),
    # Sunday, 06-Nov-94 08:49:37 GMT
    re.compile(
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        re.ASCII,
    ),
    # Sun Nov  6 08:49:37 1994
    re.compile(
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.ASCII
    ),
)
#: Seconds, 50 years, that a date with a short year may lie ahead (section 5.6.7); beyond, it is of the century before.
AHEAD = 50 * 365.2425 * 86_400


def retry_after(headers: httpx.Headers, moment: StoredTime) -> float | None:
    """Until when (in the time that is stored) an answer asks to wait; None where it does not.

    Only what the grammar allows is read. Of several the longest counts. A date means the time from the answer's own Date
    on, or from the wall clock where it has none; one in the past means now. A number beyond every calendar is
    infinity, which no caller waits for.
    """
    waits = [_seconds(value.strip(), headers, moment.wall) for value in headers.get_list("retry-after")]
    return max((moment.now + wait for wait in waits if wait is not None), default=None)


def _seconds(value: str, headers: httpx.Headers, wall: float) -> float | None:
    """How long one Retry-After asks to wait."""
    if value.isascii() and value.isdigit():
        return float(value) if len(value) < 16 else float("inf")
    until = http_date(value, wall)
    if until is None:
        return None
    answered = http_date(headers.get("date", "").strip(), wall)
    return max(0.0, until - (wall if answered is None else answered))


def http_date(text: str, now: float) -> float | None:
    """The unix time of a date as HTTP writes it, None for any other text. `now` tells the century of a short year."""
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        return None
    year = int(found["year"])
    if len(found["year"]) > 2:
        return _unix(found, year)
    this = datetime.fromtimestamp(now, UTC).year
    at = _unix(found, year + this - this % 100)
    return _unix(found, year + this - this % 100 - 100) if at is not None and at > now + AHEAD else at


def _unix(date: re.Match[str], year: int) -> float | None:
    """The unix time of a date with this year; None for a day that does not exist."""
    day, hour, minute, second = (int(date[part]) for part in ("day", "hour", "minute", "second"))
    try:
        # The 61st second of a minute is the first of the next one.
        at = datetime(year, _MONTHS.index(date["month"]) + 1, day, hour, minute, tzinfo=UTC)
        return (at + timedelta(seconds=second)).timestamp()
    except (ValueError, OverflowError):
        return None
