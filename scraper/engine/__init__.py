"""The engine: visits, the tasks around them, and their end."""

from scraper.engine.common import Common, Notices
from scraper.engine.context import Reading, Sending
from scraper.engine.crawl import Engine
from scraper.engine.lanes import Lanes
from scraper.engine.links import Links
from scraper.engine.parsing import Parsing
from scraper.engine.seeds import Seeder, check_start
from scraper.engine.suggestions import Suggestions
from scraper.engine.threads import CallbackThread
from scraper.engine.traps import Repetition

__all__ = [
    "CallbackThread",
    "Common",
    "Engine",
    "Lanes",
    "Links",
    "Notices",
    "Parsing",
    "Reading",
    "Repetition",
    "Seeder",
    "Sending",
    "Suggestions",
    "check_start",
]
