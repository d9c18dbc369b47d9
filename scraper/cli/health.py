"""The checks of `scraper doctor`. Each one looks and reports; none changes anything."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from scraper.cli.terminal.formatting import shown_place
from scraper.core.extras import EXTRAS, pip_command, present
from scraper.errors import ScraperError, SettingsError
from scraper.project.config import Configuration, environment_layers, read_file
from scraper.project.folder import project_folder, shown
from scraper.project.loader import Catalog, survey
from scraper.settings import NO_LAYERS, Settings
from scraper.spider import define
from scraper.version import VERSION, sqlite_version

__all__ = ["PACKAGES", "Finding", "findings", "project_findings"]

#: What must be installed: the dependencies of pyproject.toml.
PACKAGES: Final = (
    "httpx", "aiohttp", "selectolax", "aiolimiter", "tenacity", "aiosqlite", "ada-url", "publicsuffixlist",
    "protego", "w3lib", "brotli", "backports.zstd", "click",
)  # fmt: skip
#: Part of the standard library from Python 3.14 on.
IN_PYTHON_3_14: Final = "backports.zstd"
#: Open files that a crawl with the default settings may need: connections, the database, what a spider opens.
OPEN_FILES: Final = 256
SQLITE: Final = (3, 35)
#: The line that sets completion up, by the name of the shell.
COMPLETION: Final = {
    "bash": 'eval "$(_SCRAPER_COMPLETE=bash_source scraper)" in ~/.bashrc',
    "zsh": 'eval "$(_SCRAPER_COMPLETE=zsh_source scraper)" in ~/.zshrc',
    "fish": "_SCRAPER_COMPLETE=fish_source scraper | source, in ~/.config/fish/config.fish",
}

WELL, MACHINE, CONFIGURATION = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is. With a fault `code` is not WELL, and `remedy` says what to do."""

    name: str
    value: str
    remedy: str = ""
    code: int = WELL


def findings() -> Iterator[Finding]:
    """Everything there is to say, in the order of a bug report. A check that itself fails is a fault."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions, _packages, _extras, _tls, _open_files, _data_folder, project_findings, _completion,
    )  # fmt: skip
    for check in checks:
        try:
            yield from check()
        except (ScraperError, OSError) as error:
            yield Finding(check.__name__.strip("_").replace("_", " "), str(error), code=MACHINE)


def _versions() -> Iterator[Finding]:
    yield Finding("scraper", VERSION)
    yield Finding("python", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Finding("system", platform.platform())
    sqlite = sqlite_version()
    old = tuple(map(int, sqlite.split("."))) < SQLITE
    remedy = (
        f"SQLite {'.'.join(map(str, SQLITE))} or later is needed: a newer Python brings it" if old else ""
    )
    yield Finding("sqlite", sqlite, remedy, MACHINE if old else WELL)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            if name != IN_PYTHON_3_14 or sys.version_info < (3, 14):
                yield Finding(name, "not installed", f"pip install {name}", MACHINE)


def _extras() -> Iterator[Finding]:
    """Extras are a matter of taste: one that is missing is no fault."""
    for extra, module in EXTRAS.items():
        there = present(extra)
        yield Finding(f"[{extra}]", f"{module} {'present' if there else f'missing: {pip_command(extra)}'}")


def _tls() -> Iterator[Finding]:
    """The roots that certificates are checked against. OpenSSL reads those of a folder when they are needed."""
    paths = ssl.get_default_verify_paths()
    roots = ssl.create_default_context().cert_store_stats()["x509_ca"]
    folder = Path(paths.capath) if paths.capath else None
    if roots:
        yield Finding("tls roots", f"{roots} ({paths.cafile or paths.openssl_cafile}), {ssl.OPENSSL_VERSION}")
    elif folder is not None and any(folder.glob("*.0")):
        yield Finding("tls roots", f"in {folder}, {ssl.OPENSSL_VERSION}")
    else:
        remedy = "install the package ca-certificates, or let SSL_CERT_FILE name a file of roots"
        yield Finding("tls roots", "none: no https site can be checked", remedy, MACHINE)


def _open_files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"{_limit(soft)} (at most {_limit(hard)})"
    few = soft != resource.RLIM_INFINITY and soft < OPEN_FILES
    yield Finding("open files", told, "ulimit -n 1024" if few else "", MACHINE if few else WELL)


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)


def _data_folder() -> Iterator[Finding]:
    """Whether a database can be made. The folder itself may come with the first crawl."""
    folder = project_folder() / "data"
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = f"{shutil.disk_usage(place).free / 1e9:.1f} GB free"
    try:
        with tempfile.TemporaryFile(dir=place):
            yield Finding("data folder", f"{shown(folder)}, writable, {free}")
    except OSError as error:
        remedy = f"make {shown(place)} writable, or crawl with --db FILE"
        yield Finding("data folder", f"{shown(folder)}: {error.strerror}", remedy, MACHINE)


def project_findings() -> Iterator[Finding]:
    """The configuration, the environment, the spiders, and whether they fit together."""
    folder = project_folder()
    configuration = Configuration()
    try:
        project, spiders, file = read_file(folder)
        configuration = Configuration(file, project, spiders)
        yield Finding("config", f"{file}, valid" if file else "none")
    except SettingsError as error:
        yield Finding("config", str(error), "see docs/configuration.md", CONFIGURATION)
    try:
        variables = [variable for variable, _ in environment_layers(os.environ)]
        yield Finding("environment", ", ".join(variables) or "none")
    except SettingsError as error:
        yield Finding("environment", str(error), "unset it, or correct it", CONFIGURATION)
    yield from _spiders(survey(folder), configuration)


def _spiders(catalog: Catalog, configuration: Configuration) -> Iterator[Finding]:
    names = ", ".join(catalog.spiders) or "none"
    yield Finding("spiders", f"{len(catalog.spiders)}: {names}" if catalog.spiders else names)
    for broken in catalog.broken:
        remedy = f"correct it: {shown_place(broken.why)}"
        yield Finding("spider", f"{shown_place(broken.origin)} does not load", remedy, CONFIGURATION)
    for known in catalog.hidden:
        used = shown_place(catalog.spiders[known.name].origin)
        remedy = f"give one of them another name; {used} is used"
        yield Finding(
            "spider", f"{shown_place(known.origin)} is named {known.name} too", remedy, CONFIGURATION
        )
    for known in catalog.spiders.values():
        definition = define(known.cls)
        try:
            layers = configuration.layers(definition.name, lambda: catalog.names)
        except SettingsError:  # said below, as a table without a spider
            layers = NO_LAYERS
        try:
            Settings.of(*layers.around((shown_place(definition.place), definition.settings), ("", {})))
        except SettingsError as error:
            yield Finding("spider", str(error), "see docs/configuration.md", CONFIGURATION)
    owners = {define(known.cls).name for known in (*catalog.spiders.values(), *catalog.startless)}
    owners |= {broken.name for broken in catalog.broken}
    for name in configuration.spiders:
        if name not in owners:
            remedy = f"correct the name in {configuration.file}, or remove the table"
            yield Finding(
                "config", f"a table for the spider {name}, which there is not", remedy, CONFIGURATION
            )


def _completion() -> Iterator[Finding]:
    shell = Path(os.environ.get("SHELL", "")).name
    yield Finding("completion", COMPLETION.get(shell, "see docs/cli.md"))
