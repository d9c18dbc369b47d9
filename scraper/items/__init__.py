"""Item classes: what their fields are, the table they make, and the way of a value into SQLite and back."""

from scraper.items.column_types import ColumnType, column_type_of
from scraper.items.from_rows import item_from_row
from scraper.items.item_classes import INTERNAL, Items, table, table_name

__all__ = ["INTERNAL", "ColumnType", "Items", "column_type_of", "item_from_row", "table", "table_name"]
