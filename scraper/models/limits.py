"""How fast: rates, and limits of single hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "Limit",
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


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests per second to one domain; `gap` is the least time between two sends, in seconds."""

    per_second: float

    @property
    def gap(self) -> float:
        return 1.0 / self.per_second

    @classmethod
    def parse(cls, value: Rate | str | float | None) -> Rate | None:
        """Read a rate as people write it: "5/s", "30/min", "1000/h", "1/10s", a number per second, None.

        Raises ValueError with the accepted forms.
        """
        if value is None or isinstance(value, Rate):
            return value
        if isinstance(value, str):
            if value.strip().lower() in {"none", "off", "unlimited"}:
                return None
            if match := _RATE.fullmatch(value):
                unit = _UNITS.get(match[3].lower())
                seconds = unit and unit * float(match[2] or 1)
                if seconds and float(match[1]) > 0:
                    return cls(float(match[1]) / seconds)
            elif re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
                return cls.parse(float(value))
        elif not isinstance(value, bool) and 0 < value < float("inf"):
            return cls(float(value))
        raise ValueError('a rate such as "5/s", "30/min", "1000/h", a number per second, or none')

    def __str__(self) -> str:
        for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
            if (amount := self.per_second * seconds) >= 1:
                return f"{amount:g}/{unit}"
        return f"{self.per_second * 86_400:g}/day"


@dataclass(frozen=True, slots=True)
class Limit:
    """What one host or domain gets instead of the spider's own limits; None keeps the spider's."""

    rate: Rate | str | float | None = None
    concurrency: int | None = None
    delay: float | None = None
    robots: bool | None = None
