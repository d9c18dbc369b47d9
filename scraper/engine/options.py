"""What a crawl is begun with and what of it is stored, what a process is in it, and how its fetching ended."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scraper.core.credentials import SECRET_HEADERS, secrets_of
from scraper.core.extras import require
from scraper.core.models import Run
from scraper.errors import SettingsError
from scraper.net.proxies import all_proxies
from scraper.settings import Settings

__all__ = ["Ended", "Member", "Options", "Resume"]

#: new: begin a run; continue: go on with the unfinished run of the series or begin one; must: go on or fail;
#: failed: queue failed requests of the newest run again, finished or not, and go on with it.
Resume = Literal["new", "continue", "must", "failed"]


@dataclass(frozen=True, slots=True)
class Member:
    """Who this process is in a crawl: the name its leases bear, how many share the run, who runs `start()`.

    `tells_pages`: whether its supervisor wants to hear of every page.
    """

    owner: str
    workers: int = 1
    seeds: bool = True
    tells_pages: bool = False


@dataclass(slots=True)
class Ended:
    """How the fetching ended: why early (None: the queue drained), and failed requests that are due again."""

    reason: str | None = None
    again: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Options:
    """What a run is begun with; stored with it, and used again when it is resumed.

    `secrets` are the names of arguments and settings whose values are not stored: a resume is given them again.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    start: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Collection[str] = ()

    def find_secrets(self, settings: Settings, arguments: Collection[str]) -> None:
        """Note what of these is secret. Raises UsageError for what is missing: a variable, an extra."""
        secrets_of(settings.auth, settings.cookies, settings.headers, settings.secret_headers)
        if any(proxy.is_socks for proxy in all_proxies(settings)):
            require("socks", "a socks proxy")
        given = _secret_settings(settings) & set(self.settings)
        self.secrets = sorted(given | set(arguments) & set(self.arguments))

    def merged(self, run: Run) -> Options:
        """The stored options of `run`, which these may repeat but not change."""
        wanted = run.options.get("secrets", ())
        for key in wanted:
            if key in Settings.names() and key not in self.settings:
                raise SettingsError(
                    f"run {run.id} was begun with {key}, which is secret and not stored; give it again"
                )
        for name in ("arguments", "settings"):
            for key, value in _without(self.secrets, getattr(self, name)).items():
                if (old := run.options[name].get(key)) != value:
                    raise SettingsError(
                        f"run {run.id} was begun with {key} = {old!r}, not {value!r}; resume without it, or begin a new run"
                    )
        if self.start and list(self.start) != run.options["start"]:
            raise SettingsError(
                f"run {run.id} was begun with another start; resume without --start, or begin a new run"
            )
        return Options(
            {**run.options["arguments"], **_only(self.secrets, self.arguments)},
            run.options["start"],
            {**run.options["settings"], **_only(self.secrets, self.settings)},
            {*wanted, *self.secrets},
        )

    def series(self, spider: str) -> str:
        """What two runs must share to be compared: spider, arguments, start."""
        arguments = _without(self.secrets, self.arguments)
        return json.dumps([spider, arguments, list(self.start)], sort_keys=True, default=str)

    def stored(self) -> dict[str, Any]:
        stored = {
            "arguments": _without(self.secrets, self.arguments),
            "start": list(self.start),
            "settings": _without(self.secrets, self.settings),
        }
        return {**stored, "secrets": sorted(self.secrets)} if self.secrets else stored


def _secret_settings(settings: Settings) -> set[str]:
    """The settings that hold a secret as they are."""
    marked = SECRET_HEADERS | settings.secret_headers
    found = {"headers"} if any(name.lower() in marked for name in settings.headers) else set()
    found |= {"auth"} if settings.auth else set()
    found |= {"cookies"} if isinstance(settings.cookies, Mapping) else set()
    found |= {"proxy"} if any(proxy.user for proxy in settings.proxy) else set()
    return found | (
        {"limits"} if any(proxy.user for proxy in all_proxies(settings)[len(settings.proxy) :]) else set()
    )


def _without(names: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _only(names: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}
