"""Item classes: what their fields are, the table they make, and the way of a value into SQLite and back."""

from scraper.items.columns import Rule, rule_of
from scraper.items.item_classes import INTERNAL, Items, table, table_name
from scraper.items.kinds import kind_of
from scraper.items.restore import restore

__all__ = ["INTERNAL", "Items", "Rule", "kind_of", "restore", "rule_of", "table", "table_name"]
