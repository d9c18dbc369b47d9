"""How fast each domain may be asked: the one owner of per-domain state."""

from scraper.politeness.domain import REFUSALS, Domain
from scraper.politeness.domain_registry import Politeness
from scraper.politeness.gate import PATIENCE_SECONDS, Turn
from scraper.politeness.outage import RECOGNISED
from scraper.politeness.reasons import (
    OUTAGE,
    PAUSE,
    RATE,
    Held,
    Wait,
    away_text,
    away_until,
    cause_of,
    down_since,
)
from scraper.politeness.shared_rate import SharedRate

__all__ = [
    "OUTAGE",
    "PATIENCE_SECONDS",
    "PAUSE",
    "RATE",
    "RECOGNISED",
    "REFUSALS",
    "Domain",
    "Held",
    "Politeness",
    "SharedRate",
    "Turn",
    "Wait",
    "away_text",
    "away_until",
    "cause_of",
    "down_since",
]
