"""How fast each domain may be asked: the one owner of per-domain state."""

from scraper.politeness.domain import PAUSE, RATE, REFUSALS, Domain, Turn
from scraper.politeness.domains import Politeness

__all__ = ["PAUSE", "RATE", "REFUSALS", "Domain", "Politeness", "Turn"]
