"""The engine: visits, the tasks around them, and their end."""

from scraper.engine.context import Context
from scraper.engine.crawl import Engine
from scraper.engine.hops import CARRIED
from scraper.engine.links import Links
from scraper.engine.parsing import Parsing
from scraper.engine.seeds import Seeder, check_start
from scraper.engine.suggestions import Meanings
from scraper.engine.threads import Aside
from scraper.engine.traps import Repetition

__all__ = [
    "CARRIED",
    "Aside",
    "Context",
    "Engine",
    "Links",
    "Meanings",
    "Parsing",
    "Repetition",
    "Seeder",
    "check_start",
]
