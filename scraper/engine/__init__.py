"""The engine: visits, the tasks around them, and their end."""

from scraper.engine.context import Context
from scraper.engine.crawl import Engine
from scraper.engine.links import Links
from scraper.engine.seeds import Seeder

__all__ = ["Context", "Engine", "Links", "Seeder"]
