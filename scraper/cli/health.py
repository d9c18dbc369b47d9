"""The checks of `scraper doctor`. Each one looks and reports; none changes anything.

At import this module needs the standard library alone: what it looks at may be missing.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from scraper.cli.installation import MACHINE, WELL, Finding, package_findings
from scraper.cli.plain_output import one_line, write_line
from scraper.core.extras import EXTRAS, pip_command, present
from scraper.core.machine_limits import ENOUGH_FILES, RAISE_FILES, connection_budget
from scraper.errors import ScraperError
from scraper.project.folder import project_folder, shown
from scraper.version import VERSION, sqlite_version

__all__ = ["examine", "findings"]

#: Open files that a crawl with the default settings may need: connections, the database, what a spider opens.
OPEN_FILES: Final = 256
SQLITE: Final = (3, 35)
#: The line that sets completion up, by the name of the shell.
COMPLETION: Final = {
    "bash": 'eval "$(_SCRAPER_COMPLETE=bash_source scraper)" in ~/.bashrc',
    "zsh": 'eval "$(_SCRAPER_COMPLETE=zsh_source scraper)" in ~/.zshrc',
    "fish": "_SCRAPER_COMPLETE=fish_source scraper | source, in ~/.config/fish/config.fish",
}


def examine() -> int:
    """Print a line for each finding on stdout and the verdict on stderr. Returns the exit code."""
    codes = []
    for finding in findings():
        mark = "✗" if finding.code else " "
        write_line(one_line(f"{mark} {finding.name:17} {finding.value}".rstrip()), sys.stdout)
        if finding.remedy:
            write_line(one_line(f"  {'':17} → {finding.remedy}"), sys.stdout)
        codes.append(finding.code)
    faults = sum(code > 0 for code in codes)
    told = (
        "all is well" if not faults else "one thing is wrong" if faults == 1 else f"{faults} things are wrong"
    )
    write_line(f"{'✗' if faults else '✓'} {told}", sys.stderr)
    return max(codes)


def findings() -> Iterator[Finding]:
    """Everything there is to say, in the order of a bug report. A check that itself fails is a fault."""
    packages = list(package_findings())
    whole = not any(finding.code for finding in packages)
    checks: tuple[Callable[[], Iterable[Finding]], ...] = (
        _versions, lambda: packages, _extras, _tls, _open_files, _data_folder,
        _project if whole else _project_unseen, _completion,
    )  # fmt: skip
    for check in checks:
        try:
            yield from check()
        except (ScraperError, OSError) as error:
            yield Finding(check.__name__.strip("_").replace("_", " "), str(error), code=MACHINE)
        except ImportError as error:  # a package whose parts do not fit together
            yield Finding("packages", str(error), "pip install --force-reinstall scraper", MACHINE)


def _project() -> Iterator[Finding]:
    from scraper.cli.project_health import project_findings

    yield from project_findings()


def _project_unseen() -> Iterator[Finding]:
    """The project's own files import the packages, so they would all look broken."""
    yield Finding("config, spiders", "not looked at before the packages are in order")


def _versions() -> Iterator[Finding]:
    yield Finding("scraper", VERSION)
    yield Finding("python", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Finding("system", platform.platform())
    try:
        sqlite = sqlite_version()
    except ImportError:  # package_findings says so
        return
    old = tuple(map(int, sqlite.split("."))) < SQLITE
    remedy = (
        f"SQLite {'.'.join(map(str, SQLITE))} or later is needed: a newer Python brings it" if old else ""
    )
    yield Finding("sqlite", sqlite, remedy, MACHINE if old else WELL)


def _extras() -> Iterator[Finding]:
    """A missing extra is not a fault."""
    for extra, module in EXTRAS.items():
        there = present(extra)
        yield Finding(f"[{extra}]", f"{module} {'present' if there else f'missing: {pip_command(extra)}'}")


def _tls() -> Iterator[Finding]:
    """The roots that certificates are checked against. OpenSSL reads those of a folder when they are needed."""
    try:
        import ssl
    except ImportError:  # package_findings says so
        return
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
    """A crawl raises the limit to the highest this process may have, so that one counts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH_FILES if hard == resource.RLIM_INFINITY else hard
    budget = connection_budget(most)
    room = "plenty of connections" if most >= ENOUGH_FILES else f"{budget:,} connection{'s' * (budget > 1)}"
    told = f"{_limit(soft)} (a crawl takes {_limit(hard)}: {room} at once)"
    few = most < OPEN_FILES
    yield Finding("open files", told, RAISE_FILES if few else "", MACHINE if few else WELL)


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


def _completion() -> Iterator[Finding]:
    shell = Path(os.environ.get("SHELL", "")).name
    yield Finding("completion", COMPLETION.get(shell, "see docs/cli.md"))
