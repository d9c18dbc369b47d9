"""The collaborators of one crawl, made from what it was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scraper.core.urls import IDENTITY_VERSION
from scraper.engine.common import Common
from scraper.engine.context import Reading, Sending
from scraper.engine.lanes import Lanes
from scraper.engine.links import Links
from scraper.engine.options import Member
from scraper.engine.outages import Outages
from scraper.engine.parsing import Parsing
from scraper.engine.suggestions import Suggestions
from scraper.engine.threads import CallbackThread
from scraper.engine.traps import Repetition
from scraper.items import Items
from scraper.net.downloader import Downloader
from scraper.net.identity import Identity, request_headers, user_agent
from scraper.net.request_headers import CARRIED, Outgoing
from scraper.net.retry import RetryPolicy
from scraper.net.robots import Robots
from scraper.politeness import Politeness
from scraper.spider import Definition, Spider
from scraper.spider.files import Files

__all__ = ["Plan", "reading_of", "sending_of"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A spider about to crawl. `inline`: nothing runs in a thread, for simulation; `seed` fixes what is drawn;
    `resumed`: the run goes on, so that another process may have sent for it a moment ago; `identity_version`: how the
    run distinguishes URLs.
    """

    spider: Spider[Any]
    definition: Definition
    files: Files
    inline: bool = False
    seed: int | None = None
    resumed: bool = False
    identity_version: int = IDENTITY_VERSION


def sending_of(plan: Plan, common: Common, member: Member, downloader: Downloader) -> Sending:
    """What sends. Raises SettingsError when the variable of a credential is not set."""
    settings, clock = common.settings, common.clock
    agent = user_agent(settings)
    politeness = Politeness(settings, clock, agent, member.workers, resumed=plan.resumed)
    identity = Identity(settings, clock, (getattr(plan.spider, name) for name in plan.definition.secrets))
    robots = Robots(clock.unix, threads=not plan.inline)
    lanes = Lanes(common, politeness, robots, identity, member.owner, member.workers)
    retry = RetryPolicy(settings.retries, seed=plan.seed)
    plain = request_headers(settings, CARRIED - settings.secret_headers)
    return Sending(
        common=common,
        lanes=lanes,
        politeness=politeness,
        robots=robots,
        retry=retry,
        outages=Outages(common, lanes, retry),
        downloader=downloader,
        identity=identity,
        outgoing=Outgoing(request_headers(settings), plain),
        user_agent=agent,
    )


def reading_of(plan: Plan, sending: Sending) -> Reading:
    """What reads pages and follows their links."""
    settings = sending.common.settings
    return Reading(
        spider=plan.spider,
        definition=plan.definition,
        items=Items(plan.definition.name, plan.definition.items),
        links=Links(settings, sending.politeness, plan.identity_version),
        files=plan.files,
        suggestions=Suggestions(),
        parsing=Parsing(inline=plan.inline),
        thread=CallbackThread(),
        repetition=Repetition(settings.max_identical),
    )
