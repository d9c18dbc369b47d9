"""The values that travel between the layers: requests, outcomes, leases, rows.

They hold data and answer questions about it; none reads a clock, a file or the network. All are frozen dataclasses, but
for `Cookie`, whose uses the jar counts, and `Request` and `Requests`, which authors build.
"""

from scraper.core.models.cookie import Cookie
from scraper.core.models.done import Completed, Done
from scraper.core.models.download import Download
from scraper.core.models.effects import Effects, Outcome, Send, SendKind
from scraper.core.models.lease import LONGEST_HOLD, DomainFacts, DomainLease, OriginFacts, Pending
from scraper.core.models.limits import Hours, Limit, Pace, Rate
from scraper.core.models.order import LIMIT, RETRY, STOP, Command
from scraper.core.models.page_result import (
    EarlierVisit,
    ErrorRecord,
    KeptPage,
    PageResult,
    Site,
    Suggestion,
    VisitRecord,
)
from scraper.core.models.proxy import Proxy, read_proxies
from scraper.core.models.redirect_landing import Landing
from scraper.core.models.request import (
    Known,
    Options,
    QueuedRequest,
    Redirection,
    Request,
    Requests,
    State,
    callback_name,
)
from scraper.core.models.run import Budget, Ending, NewRun, Requeued, Run
from scraper.core.models.status import CrawlStatus, DomainStatus, Upcoming
from scraper.core.models.tables import Column, ItemRow, Rejected, Table
from scraper.core.models.tls import Tls, read_tls

__all__ = [
    "LIMIT",
    "LONGEST_HOLD",
    "RETRY",
    "STOP",
    "Budget",
    "Column",
    "Command",
    "Completed",
    "Cookie",
    "CrawlStatus",
    "DomainFacts",
    "DomainLease",
    "DomainStatus",
    "Done",
    "Download",
    "EarlierVisit",
    "Effects",
    "Ending",
    "ErrorRecord",
    "Hours",
    "ItemRow",
    "KeptPage",
    "Known",
    "Landing",
    "Limit",
    "NewRun",
    "Options",
    "OriginFacts",
    "Outcome",
    "Pace",
    "PageResult",
    "Pending",
    "Proxy",
    "QueuedRequest",
    "Rate",
    "Redirection",
    "Rejected",
    "Request",
    "Requests",
    "Requeued",
    "Run",
    "Send",
    "SendKind",
    "Site",
    "State",
    "Suggestion",
    "Table",
    "Tls",
    "Upcoming",
    "VisitRecord",
    "callback_name",
    "read_proxies",
    "read_tls",
]
