"""Reading a crawl database: its tables, and answers to SQL."""

from scraper.query.database import Answer, TableInfo, ask, list_tables, open_readonly
from scraper.query.output import FORMATS, write_answer

__all__ = ["FORMATS", "Answer", "TableInfo", "ask", "list_tables", "open_readonly", "write_answer"]
