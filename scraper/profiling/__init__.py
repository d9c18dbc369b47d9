"""Where the time of a crawl goes: parts, callbacks, selectors.

with Profile() as profile:
    summary = await crawl(Books, observers=[profile])
print(profile.measured())
"""

from scraper.profiling.figures import CallbackTime, Figures, SelectorTime
from scraper.profiling.profile import Profile

__all__ = ["CallbackTime", "Figures", "Profile", "SelectorTime"]
