"""Reading a crawl database: its tables, answers to SQL, files made of them."""

from scraper.query.database import Answer, ask, open_readonly
from scraper.query.export import Export, check_output, export
from scraper.query.output import FORMATS, write_answer
from scraper.query.tables import ColumnInfo, TableInfo, fill_rates, list_tables

__all__ = [
    "FORMATS",
    "Answer",
    "ColumnInfo",
    "Export",
    "TableInfo",
    "ask",
    "check_output",
    "export",
    "fill_rates",
    "list_tables",
    "open_readonly",
    "write_answer",
]
