"""Excel files, row by row: texts stay texts, whatever they begin with, so nothing in them is run as a formula."""

from __future__ import annotations

from typing import Any

from scraper.core.extras import require as require_extra
from scraper.errors import QueryError
from scraper.query.database import QueryResult

__all__ = ["require", "write_xlsx"]

#: Excel's own limits.
MAX_ROWS, MAX_COLUMNS, MAX_TEXT = 1_048_576, 16_384, 32_767
#: Integers that a spreadsheet, which has only doubles, keeps.
MAX_INTEGER = 2**53


def require() -> Any:
    """xlsxwriter. Raises UsageError naming the command that installs it."""
    return require_extra("xlsx", "writing Excel files")


def write_xlsx(answer: QueryResult, path: str) -> int:
    """Write an answer as the one sheet of a workbook; its head stays in sight and can be filtered.

    Raises QueryError for what a sheet cannot hold: too many rows or columns, a text that is too long.
    """
    if len(answer.columns) > MAX_COLUMNS:
        raise QueryError(
            f"{len(answer.columns):,} columns, and a sheet has {MAX_COLUMNS:,}; write a .csv or .parquet"
        )
    book = require().Workbook(path, {"constant_memory": True})
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    count = 0
    try:
        for column, name in enumerate(answer.columns):
            sheet.write_string(0, column, name)
        for row in answer.rows:
            count += 1
            if count >= MAX_ROWS:
                raise QueryError(
                    f"more rows than a sheet has ({MAX_ROWS:,}); write a .csv or .parquet, or --limit"
                )
            for column, value in enumerate(row):
                _write(sheet, count, column, value, answer.columns[column])
        sheet.autofilter(0, 0, count, max(len(answer.columns) - 1, 0))
    finally:
        book.close()
    return count


def _write(sheet: Any, row: int, column: int, value: Any, name: str) -> None:
    if value is None:
        return
    if isinstance(value, float) or (isinstance(value, int) and abs(value) <= MAX_INTEGER):
        sheet.write_number(row, column, value)
        return
    text = value.hex() if isinstance(value, bytes) else str(value)
    if len(text) > MAX_TEXT:
        raise QueryError(
            f"row {row:,}: {name} has {len(text):,} characters, and a cell holds {MAX_TEXT:,}; write a .csv or .parquet"
        )
    sheet.write_string(row, column, text)
