"""CR-03, CR-04: what a crash of the machine leaves of the files."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash.kills import START
from benchmarks.crash.site import InProcess, check, child, crawl, folder, report
from scraper.store.file import write_ahead_log
from scraper.store.file import writer as writing
from scraper.store.file.schema import prepare

__all__ = ["power", "torn", "traced"]


def torn(states: int, pages: int, seed: int) -> None:
    """CR-03: the log cut or a byte of it flipped, at random; opened, checked, one in fifty resumed to its end."""
    chance, began = random.Random(seed), time.monotonic()
    survivors, resumed = [], 0
    with folder() as place:
        source = place / "source.db"
        _left_open(source, pages)
        whole = check_copy(source, place / "whole.db", pages)
        for n in range(states):
            path = place / "torn.db"
            _copy(source, path)
            _tear(Path(f"{path}-wal"), chance)
            survivors.append(_opened(path, pages))
            if n % 50 == 0:
                assert (
                    os.waitpid(
                        child(
                            lambda: crawl(place / "torn.db", START, transport=InProcess(pages), inline=True)
                        ),
                        0,
                    )[1]
                    == 0
                )
                assert check(path, pages).done == pages
                resumed += 1
            if n % 500 == 499:
                print(f"  {n + 1} states", flush=True)
    report(
        "CR-03", states=states, violations=0, pages_that_survived=f"{min(survivors)} to {max(survivors)} of {whole}",
        resumed_to_the_end=resumed, seconds=round(time.monotonic() - began),
    )  # fmt: skip


def _crawl(path: Path, pages: int) -> None:
    crawl(path, START, transport=InProcess(pages), inline=True)


def _left_open(path: Path, pages: int) -> None:
    """A crawl that was killed before its log was folded."""

    def run() -> None:
        write_ahead_log.fold = lambda conn: os.kill(os.getpid(), signal.SIGKILL)
        crawl(path, START, transport=InProcess(pages), inline=True)

    os.waitpid(child(run), 0)


def check_copy(source: Path, path: Path, pages: int) -> int:
    _copy(source, path)
    return check(path, pages).done


def _copy(source: Path, path: Path) -> None:
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{source}{suffix}", f"{path}{suffix}")


def _tear(log: Path, chance: random.Random) -> None:
    size = log.stat().st_size
    at = chance.randrange(size)
    with log.open("r+b") as file:
        if chance.random() < 0.5:
            file.truncate(at)
            return
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ chance.randint(1, 255)]))


def _opened(path: Path, pages: int) -> int:
    """Open as a crawl does, then check; the pages that are done."""
    conn = writing.connect(str(path))
    prepare(conn, 0.0)
    conn.close()
    return check(path, pages).done


# ------------------------------------------------------------------------------------------------ power cuts


def traced(path: str, synchronous: str, pages: int, *, beside: bool) -> None:
    """A crawl that says, by a write to /dev/null, how many pages are committed. Run under strace.

    `beside`: its log is folded in another thread, as that of a real crawl.
    """
    write_ahead_log.FOLD, write_ahead_log.LOG = 2**16, 2**18
    connect = writing.connect
    null = os.open("/dev/null", os.O_WRONLY)
    done = 0

    def connected(name: str) -> object:
        conn = connect(name)
        conn.execute(f"PRAGMA synchronous = {synchronous}")
        conn.execute("PRAGMA wal_autocheckpoint = 100")
        return conn

    def acknowledged(event: object) -> None:
        nonlocal done
        if type(event).__name__ == "PageDone":
            done += 1
            os.write(null, b"ACK %d" % done)

    writing.connect = connected  # type: ignore[assignment]  # this process only
    crawl(Path(path), START, transport=InProcess(pages), inline=not beside, observers=[acknowledged])


@dataclass
class _File:
    """A file as the disk has it for certain, and what was written to it since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    syncing: int = 0

    def write(self, at: int, data: bytes) -> None:
        self.pending.append((at, data))

    def truncate(self, size: int) -> None:
        self.pending.append((-1, size.to_bytes(8, "big")))

    def sync_begins(self) -> None:
        self.syncing = len(self.pending)

    def sync(self) -> None:
        """What another thread wrote while the sync was under way may have missed it."""
        self.durable = self.with_all(self.pending[: self.syncing])
        self.pending = self.pending[self.syncing :]

    def with_all(self, writes: list[tuple[int, bytes]]) -> bytearray:
        made = bytearray(self.durable)
        for at, data in writes:
            if at < 0:
                size = int.from_bytes(data, "big")
                made = made[:size] + bytes(max(0, size - len(made)))
            else:
                made += bytes(max(0, at + len(data) - len(made)))
                made[at : at + len(data)] = data
        return made

    def after_a_cut(self, chance: random.Random) -> bytearray:
        """Of what was not synced any part may be there, a write in sectors of 512 bytes."""
        kept = []
        for at, data in self.pending:
            luck = chance.random()
            if luck < 0.45 or at < 0:
                kept.append((at, data))
            elif luck < 0.6:
                sectors = range(0, len(data), 512)
                kept += [(at + n, data[n : n + 512]) for n in sectors if chance.random() < 0.5]
        return self.with_all(kept)


CALL = re.compile(r"^(?:\d+ +)?(\w+)\((?:AT_FDCWD[^,]*, )?(?:\d+<([^>]*)>)?(.*)\) += (-?\d+)")


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a trace, those of calls that others overtook put together where they end; the beginning of such a
    sync as a line of its own.
    """
    begun: dict[str, str] = {}
    for line in lines:
        process, _, call = line.partition(" ")
        if call.rstrip().endswith("<unfinished ...>"):
            begun[process] = call.rstrip().removesuffix("<unfinished ...>")
            if "sync(" in call:
                yield f"begins_{call.lstrip().replace('<unfinished ...>', ') = 0')}"
        elif "resumed>" in call:
            yield f"{process} {begun.pop(process).strip()}{call.partition('resumed>')[2]}"
        else:
            if "sync(" in call:
                yield f"begins_{call.lstrip()}"
            yield line


def _trace(path: Path, synchronous: str, pages: int, *, beside: bool) -> list[tuple[str, str, int, bytes]]:
    """The writes and syncs of a crawl: (what, file, at, data)."""
    out = path.with_suffix(".strace")
    command = [
        "strace", "-f", "-y", "-xx", "-s", "8388608", "-o", str(out),
        "-e", "trace=pwrite64,write,fsync,fdatasync,ftruncate",
        sys.executable, "-m", "benchmarks.crash", "traced", str(path), synchronous, str(pages),
        *(["--beside"] if beside else []),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=300)
    made = []
    with out.open() as lines:
        for line in _whole(lines):
            match = CALL.match(line)
            if match is None or match[2] is None:
                continue
            what, file = (
                match[1],
                bytes.fromhex(match[2].replace("\\x", "")).decode()
                if match[2].startswith("\\x")
                else match[2],
            )
            made += _operation(what, file, match[3], path)
    out.unlink()
    return made


def _plain(name: str) -> str:
    return bytes.fromhex(name.replace("\\x", "")).decode() if name.startswith("\\x") else name


def _operation(what: str, file: str, rest: str, path: Path) -> list[tuple[str, str, int, bytes]]:
    name = Path(file.partition("<")[0]).name
    if what == "write" and name.startswith("null"):
        return [("ack", "", int(_bytes(rest).split()[1]), b"")] if b"ACK" in _bytes(rest) else []
    if name not in {path.name, f"{path.name}-wal"}:
        return []
    if what == "pwrite64":
        return [("write", name, int(rest.rsplit(",", 1)[1]), _bytes(rest))]
    if what == "ftruncate":
        return [("truncate", name, int(rest.strip(", ")), b"")]
    if what.startswith("begins_"):
        return [("sync begins", name, 0, b"")]
    return [("sync", name, 0, b"")] if what in {"fsync", "fdatasync"} else []


def _bytes(rest: str) -> bytes:
    return bytes.fromhex(rest[rest.index('"') + 1 : rest.rindex('"')].replace("\\x", ""))


def power(states: int, pages: int, seed: int) -> None:
    """CR-04: the power fails after a random prefix of the writes; what was not synced may be there in part."""
    for synchronous, beside in (("NORMAL", True), ("NORMAL", False), ("FULL", False)):
        chance, began = random.Random(seed), time.monotonic()
        with folder() as place:
            path = place / "traced.db"
            operations = _trace(path, synchronous, pages, beside=beside)
            for old in place.iterdir():
                old.unlink()
            # Until the new file is synced SQLite has a rollback journal for it, which is not modelled here.
            made = operations.index(("sync", path.name, 0, b"")) + 1
            cuts = sorted(chance.randrange(made, len(operations) + 1) for _ in range(states))
            lost, least, most = _cut(operations, cuts, place / "cut.db", pages, synchronous, chance)
        report(
            f"CR-04 synchronous={synchronous}{', folded beside' if beside else ''}", states=states, violations=0,
            operations=len(operations),
            syncs=sum(what == "sync" for what, *_ in operations), pages_that_survived=f"{least} to {most}",
            most_acknowledged_pages_lost=lost, seconds=round(time.monotonic() - began),
        )  # fmt: skip


def _cut(
    operations: list[tuple[str, str, int, bytes]], cuts: list[int], path: Path, pages: int, synchronous: str,
    chance: random.Random,
) -> tuple[int, int, int]:  # fmt: skip
    """The most acknowledged pages lost in any state, the least and the most pages that survived."""
    files = {"traced.db": _File(), "traced.db-wal": _File()}
    position = acknowledged = lost = most = 0
    least = pages
    for cut in cuts:
        for what, name, at, data in operations[position:cut]:
            match what:
                case "ack":
                    acknowledged = at
                case "write":
                    files[name].write(at, data)
                case "truncate":
                    files[name].truncate(at)
                case "sync begins":
                    files[name].sync_begins()
                case "sync":
                    files[name].sync()
        position = cut
        for old in path.parent.glob("cut.db*"):
            old.unlink()
        for name, file in files.items():
            Path(str(path) + name.removeprefix("traced.db")).write_bytes(file.after_a_cut(chance))
        done = _opened(path, pages)
        least, most, lost = min(least, done), max(most, done), max(lost, acknowledged - done)
        assert synchronous == "NORMAL" or done >= acknowledged, (
            f"{acknowledged - done} acknowledged pages lost"
        )
    return lost, least, most
