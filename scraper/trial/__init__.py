"""One page run through the real engine and nothing stored: for `try`, `get`, `shell` and saved test cases."""

from scraper.trial.case import Case, accept, difference, load_case, replay_case, save_case
from scraper.trial.known import Known, known_request
from scraper.trial.run import Fetched, Trial, fetch_page, page_of, try_page

__all__ = [
    "Case",
    "Fetched",
    "Known",
    "Trial",
    "accept",
    "difference",
    "fetch_page",
    "known_request",
    "load_case",
    "page_of",
    "replay_case",
    "save_case",
    "try_page",
]
