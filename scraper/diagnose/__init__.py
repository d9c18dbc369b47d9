"""Why something went wrong: hints for errors, where a selector stands, and what became of a URL."""

from scraper.diagnose.explain import Attempt, Explanation, explain
from scraper.diagnose.hints import asked_in, hint_for

__all__ = ["Attempt", "Explanation", "asked_in", "explain", "hint_for"]
