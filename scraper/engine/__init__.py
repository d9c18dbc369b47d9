"""The engine: visits, the tasks around them, and their end."""

from scraper.engine.context import Context
from scraper.engine.crawl import Engine
from scraper.engine.identity import Identity, request_headers, user_agent
from scraper.engine.links import Links, check_url
from scraper.engine.meant import Meanings
from scraper.engine.parsing import Parsing
from scraper.engine.seeds import Seeder
from scraper.engine.traps import Repetition
from scraper.engine.travel import CARRIED
from scraper.engine.wires import open_wires

__all__ = [
    "CARRIED",
    "Context",
    "Engine",
    "Identity",
    "Links",
    "Meanings",
    "Parsing",
    "Repetition",
    "Seeder",
    "check_url",
    "open_wires",
    "request_headers",
    "user_agent",
]
