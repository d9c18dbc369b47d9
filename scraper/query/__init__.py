"""Reading a crawl database: its tables, answers to SQL, files made of them."""

from scraper.query.database import Interrupted, QueryResult, ask, open_readonly
from scraper.query.export import Export, check_output, export
from scraper.query.output import FORMATS, write_answer
from scraper.query.reading import Reading, Unavailable
from scraper.query.tables import ColumnInfo, TableInfo, fill_rates, list_tables, table_names

__all__ = [
    "FORMATS",
    "ColumnInfo",
    "Export",
    "Interrupted",
    "QueryResult",
    "Reading",
    "TableInfo",
    "Unavailable",
    "ask",
    "check_output",
    "export",
    "fill_rates",
    "list_tables",
    "open_readonly",
    "table_names",
    "write_answer",
]
