"""How fast and when: rates, hours of the day, limits of single hosts, and the pace that came of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from scraper.core.models.proxy import Proxy

__all__ = [
    "Hours",
    "Limit",
    "Pace",
    "Rate",
]


_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86_400,
    "day": 86_400,
}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*([a-z]+)\s*", re.IGNORECASE)
_AUTO = re.compile(r"\s*auto\s*(?:(?:<=|≤|:)(.+))?", re.IGNORECASE)
#: The cap of a rate that is just "auto", per second.
AUTO_CAP = 20.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests per second to one domain; `gap` is the least time between two sends, in seconds.

    `auto`: the site decides how fast, and `per_second` is only the cap (`AutoRate` in scraper/politeness/adaptive_rate.py).
    """

    per_second: float
    auto: bool = False

    @property
    def gap(self) -> float:
        return 1.0 / self.per_second

    @classmethod
    def parse(cls, value: Rate | str | float | None) -> Rate | None:
        """Read a rate as people write it: "5/s", "30/min", "1000/h", "1/10s", a number per second, None;
        "auto", or "auto<=5/s" with a cap of its own ("auto:5/s" means the same, for shells).

        Raises ValueError with the accepted forms.
        """
        if value is None or isinstance(value, Rate):
            return value
        if isinstance(value, str):
            if value.strip().lower() in {"none", "off", "unlimited"}:
                return None
            if match := _AUTO.fullmatch(value):
                cap = cls.parse(match[1]) if match[1] else cls(AUTO_CAP)
                if cap is not None and not cap.auto:
                    return cls(cap.per_second, auto=True)
            elif match := _RATE.fullmatch(value):
                unit = _UNITS.get(match[3].lower())
                seconds = unit and unit * float(match[2] or 1)
                if seconds and float(match[1]) > 0:
                    return cls(float(match[1]) / seconds)
            elif re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
                return cls.parse(float(value))
        elif not isinstance(value, bool) and 0 < value < float("inf"):
            return cls(float(value))
        raise ValueError(
            'a rate such as "5/s", "30/min", "1000/h", a number per second, "auto<=5/s", or none'
        )

    def __str__(self) -> str:
        if self.auto:
            return f"auto<={Rate(self.per_second)}"
        for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
            if (amount := self.per_second * seconds) >= 1:
                return f"{amount:g}/{unit}"
        return f"{self.per_second * 86_400:g}/day"


_HOURS = re.compile(r"\s*(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)\s*(utc)?\s*", re.IGNORECASE)
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """A daily window, in minutes since midnight; over midnight when `end` is not after `start`.

    The clock is that of the machine (its time zone, summer time included), or UTC.
    """

    start: int
    end: int
    utc: bool = False

    @classmethod
    def parse(cls, value: Hours | str | None) -> Hours | None:
        """Read "22:00-06:00" or "22:00-06:00 UTC". Raises ValueError with the accepted forms."""
        if value is None or isinstance(value, Hours):
            return value
        if isinstance(value, str):
            if value.strip().lower() in {"none", "any"}:
                return None
            if match := _HOURS.fullmatch(value):
                start, end = (int(match[i]) * 60 + int(match[i + 1]) for i in (1, 3))
                minutes_exist = int(match[2]) < 60 and int(match[4]) < 60
                if minutes_exist and start < _DAY and end <= _DAY and start != end:
                    return cls(start, end, utc=bool(match[5]))
        raise ValueError('hours of the day such as "22:00-06:00" or "22:00-06:00 UTC", or none')

    def at(self, unix: float) -> tuple[bool, float]:
        """Whether a unix time lies inside, and the next one at which that changes."""
        today = datetime.fromtimestamp(unix, UTC if self.utc else None).date()
        for day in (today + timedelta(days=n) for n in (-1, 0, 1)):
            opens = self._unix(datetime.combine(day, time()), self.start)
            closes = self._unix(datetime.combine(day, time()), self.end + _DAY * (self.end <= self.start))
            if unix < opens:
                return False, opens
            if unix < closes:
                return True, closes
        return False, self._unix(datetime.combine(today, time()), self.start + 2 * _DAY)

    def _unix(self, midnight: datetime, minutes: int) -> float:
        at = midnight + timedelta(minutes=minutes)
        return (at.replace(tzinfo=UTC) if self.utc else at).timestamp()

    def __str__(self) -> str:
        start, end = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (self.start, self.end))
        return f"{start}-{end}" + (" UTC" if self.utc else "")


@dataclass(frozen=True, slots=True)
class Limit:
    """What one host or domain gets instead of the spider's own limits; None keeps the spider's."""

    rate: Rate | str | float | None = None
    concurrency: int | None = None
    delay: float | None = None
    robots: bool | None = None
    hours: Hours | str | None = None
    proxy: Proxy | str | Sequence[Proxy | str] | None = None
    outage_max: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What was in force for a domain when a request was sent; stored with it, so that it can be proved.

    `gap`: least seconds from send to send; `pause`: from the end of a response to the next send; `concurrency`:
    requests under way at once; `agent`: the name robots.txt was obeyed under, None where it is not read.
    """

    gap: float
    pause: float
    concurrency: int
    agent: str | None
