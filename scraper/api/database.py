"""The door to databases, and the only place above `store`, `query` and `reports` that knows what they are made of.

It is apart from `Crawl` so that a command that only looks at a database does not load what fetches pages.
"""

from scraper.store import join as join_ledger
from scraper.store import live_crawl, maintain, membership
from scraper.store import open as open_ledger

__all__ = ["join_ledger", "live_crawl", "maintain", "membership", "open_ledger"]
