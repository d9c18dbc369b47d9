"""The engine: visits, the tasks around them, and their end."""

from scraper.engine.aside import Aside
from scraper.engine.context import Context
from scraper.engine.crawl import Engine
from scraper.engine.identity import Identity, request_headers, user_agent
from scraper.engine.links import Links, check_url, in_scope
from scraper.engine.meant import Meanings
from scraper.engine.outgoing import Outgoing
from scraper.engine.parsing import Parsing
from scraper.engine.seeds import Seeder, check_start
from scraper.engine.traps import Repetition
from scraper.engine.travel import CARRIED
from scraper.engine.wires import open_wires

__all__ = [
    "CARRIED",
    "Aside",
    "Context",
    "Engine",
    "Identity",
    "Links",
    "Meanings",
    "Outgoing",
    "Parsing",
    "Repetition",
    "Seeder",
    "check_start",
    "check_url",
    "in_scope",
    "open_wires",
    "request_headers",
    "user_agent",
]
