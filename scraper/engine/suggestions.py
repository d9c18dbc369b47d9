"""What selectors that match nothing were probably meant to be: asked once for each, of the first page it missed on."""

from __future__ import annotations

from collections.abc import Mapping

from scraper.core.models import Site, Suggestion
from scraper.page import Page, document_of

__all__ = ["Suggestions"]

#: Selectors remembered; a spider has dozens, one that makes them up from data has any number.
MOST = 5_000
_NOTHING: Mapping[Site, Suggestion] = {}


class Suggestions:
    """Suggestions for one crawl.

    Invariant: a selector is looked at once, on the first page that was asked for it; so the cost of looking for
    a similar one does not grow with the pages.
    """

    def __init__(self) -> None:
        self._known: set[Site] = set()

    def of(self, page: Page) -> Mapping[Site, Suggestion]:
        """For selectors that are new and missed: one like it that matches, and how often."""
        document = document_of(page)
        new = document.hits.keys() - self._known
        if not new or len(self._known) > MOST:
            return _NOTHING
        self._known |= new
        meant = {site: document.suggest(site[4]) for site in new if not document.hits[site]}
        return {site: found for site, found in meant.items() if found is not None}
