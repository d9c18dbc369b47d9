"""The author's contract: the Spider class, and what a class derived from it means."""

from scraper.spider.base import Past, Spider, lend
from scraper.spider.definition import Definition, define, instantiate

__all__ = ["Definition", "Past", "Spider", "define", "instantiate", "lend"]
