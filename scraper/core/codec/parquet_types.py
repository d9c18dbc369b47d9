"""The Arrow types that the table of kinds names. `pyarrow` is passed in: it is imported only to write Parquet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scraper.core.codec.value_conversions import decimal_from_sql

__all__ = ["ParquetType", "Scan", "datetime_type", "decimal_type", "scan_datetime", "scan_decimal"]

#: The most digits of Arrow's two sizes of decimals.
_DIGITS_128, _DIGITS_256 = 38, 76


@dataclass(slots=True)
class Scan:
    """What one pass over the values of a column found, for kinds whose Parquet type depends on it.

    `whole` and `digits` are the most digits before and after a decimal's point. `zoned` and `naive` say which
    datetimes there are.
    """

    whole: int = 1
    digits: int = 0
    zoned: bool = False
    naive: bool = False


#: Makes an Arrow type from the module `pyarrow` and what a pass found; None if no type holds all of the values.
ParquetType = Callable[[Any, Scan], Any]


def decimal_type(arrow: Any, scan: Scan) -> Any:
    digits = scan.whole + scan.digits
    if digits > _DIGITS_256:
        return None
    made = arrow.decimal128 if digits <= _DIGITS_128 else arrow.decimal256
    return made(max(digits, 1), scan.digits)


def scan_decimal(scan: Scan, stored: Any) -> None:
    _, digits, exponent = decimal_from_sql(stored).as_tuple()
    if isinstance(exponent, int):
        scan.digits = max(scan.digits, -exponent)
        scan.whole = max(scan.whole, len(digits) + exponent)


def datetime_type(arrow: Any, scan: Scan) -> Any:
    if scan.zoned == scan.naive:
        return None
    return arrow.timestamp("us", tz="UTC" if scan.zoned else None)


def scan_datetime(scan: Scan, stored: Any) -> None:
    zoned = isinstance(stored, str) and stored.endswith("Z")
    scan.zoned |= zoned
    scan.naive |= not zoned
