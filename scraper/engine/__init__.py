"""The engine: visits, the tasks around them, and their end."""

from scraper.engine.assembly import Plan, reading_of, sending_of
from scraper.engine.common import Common, Notices
from scraper.engine.context import Reading, Sending
from scraper.engine.crawl import Engine
from scraper.engine.links import Links
from scraper.engine.parsing import Parsing
from scraper.engine.seeds import Seeder, check_start

__all__ = [
    "Common",
    "Engine",
    "Links",
    "Notices",
    "Parsing",
    "Plan",
    "Reading",
    "Seeder",
    "Sending",
    "check_start",
    "reading_of",
    "sending_of",
]
