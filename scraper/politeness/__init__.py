"""How fast each domain may be asked: the one owner of per-domain state."""

from scraper.politeness.domain import REFUSALS, Domain
from scraper.politeness.domain_registry import Politeness
from scraper.politeness.gate import Turn
from scraper.politeness.reasons import PAUSE, RATE, Wait
from scraper.politeness.shared_rate import SharedRate

__all__ = ["PAUSE", "RATE", "REFUSALS", "Domain", "Politeness", "SharedRate", "Turn", "Wait"]
