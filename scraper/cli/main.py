"""Where the `scraper` command starts. Errors become one sentence and an exit code.

At import this module needs the standard library alone, so that a package that is missing or broken, click included,
is a sentence as well, and `scraper doctor` runs without any of them.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

from scraper.cli.output_streams import OUTPUT, OutputLost
from scraper.cli.plain_output import one_line, write_line
from scraper.errors import DatabaseInUse, ScraperError, StoreError, UsageError

__all__ = ["exit_code_of", "main"]

#: The variable with which a shell asks for completion; its name is click's choice, for a program named scraper.
COMPLETE = "_SCRAPER_COMPLETE"


def main() -> None:
    """Run the command line; never a traceback for what a person or the web did."""
    if COMPLETE in os.environ:
        sys.exit(_complete())
    OUTPUT.install()
    try:
        code = _outcome()
    except OutputLost:
        code = 0
    sys.exit(OUTPUT.finish(code))


def _outcome() -> int:
    """What the command line says, done; the exit code. Raises OutputLost."""
    try:
        return _run()
    except KeyboardInterrupt:
        return 130
    except OutputLost:
        raise
    except Exception as error:
        return _unexpected(error)


def exit_code_of(error: BaseException) -> int:
    """The exit code of an error (EXIT_CODES)."""
    if isinstance(error, DatabaseInUse):
        return 7
    if isinstance(error, StoreError):
        return 6
    return 2 if isinstance(error, UsageError) else 1


def _run() -> int:
    try:
        if (folder := _doctor_in(sys.argv[1:])) is not None:
            return _doctor(folder)
        from scraper.cli.group import run

        return run()
    except ScraperError as error:
        from scraper.core.tracebacks import printable

        with suppress(OutputLost):  # the exit code says it
            write_line(f"✗ {printable(str(error), lines=True)}", sys.stderr)
        return exit_code_of(error)


def _doctor_in(words: list[str]) -> str | None:
    """The folder in which `scraper doctor` was asked for, None for every other command line.

    This command does not go through click, which may be what is broken. Its help does.
    """
    folder = "."
    if words[:1] == ["-C"] and len(words) > 1:
        folder, words = words[1], words[2:]
    return folder if words == ["doctor"] else None


def _doctor(folder: str) -> int:
    from scraper.cli.health import examine

    try:
        os.chdir(folder)
    except OSError as error:
        write_line(one_line(f"✗ -C {folder}: {error.strerror}"), sys.stderr)
        return 2
    return examine()


def _unexpected(error: Exception) -> int:
    """Report an error that should not happen.

    This machine has nothing left, a disk is full, a package is missing or broken, or else it is a fault in scraper.
    """
    from scraper.cli.installation import package_findings
    from scraper.core.machine_limits import limit_errno, limit_sentence

    if (limit := limit_errno(error)) is not None:  # first: without descriptors every package looks broken
        write_line(f"✗ {limit_sentence(limit)}; nothing stored is lost", sys.stderr)
        return 6
    if (told := _disk_error(error)) is not None:
        write_line(f"✗ {one_line(told)}", sys.stderr)
        return 6
    faults = [f"{finding.name} {finding.value}" for finding in package_findings() if finding.code]
    if (
        not faults
        and isinstance(error, ImportError)
        and (error.name or "scraper").partition(".")[0] != "scraper"
    ):
        faults = [one_line(str(error))]
    if faults:
        write_line(f"✗ {'; '.join(faults)}. scraper doctor says what to do", sys.stderr)
        return 2
    from scraper.core.tracebacks import describe, printable

    record = describe(error, "internal", "scraper")
    write_line(
        f"✗ a fault of scraper itself: {printable(record.message)}   {printable(record.place)}", sys.stderr
    )
    write_line("  please report it; nothing stored is lost", sys.stderr)
    return 1


def _disk_error(error: Exception) -> str | None:
    """What is wrong with a disk of this machine, where that is what the error says."""
    if not isinstance(error, OSError):
        return None
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}:
        return f"{error.filename or 'a file'} cannot be written: {error.strerror}"
    # What `tempfile` says when the disk of each folder it knows is full or closed to us.
    no_place = "No usable temporary directory"
    return f"{error.strerror}; set TMPDIR" if (error.strerror or "").startswith(no_place) else None


def _complete() -> int:
    """Answer the shell. Anything else printed would appear at the prompt, so an error means no candidates."""
    try:
        from scraper.cli.group import complete

        complete()
    except (Exception, KeyboardInterrupt):
        return 1
    return 0
