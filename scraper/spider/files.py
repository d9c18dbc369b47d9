"""Files that a crawl stores: names that cannot leave their folder, bodies that are never held as a whole.

What a server, a URL or a page says about a name is not trusted. What is stored is complete or not there: a file is
written beside its place, as `.part-…`, and moved there at the end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import unicodedata
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final
from urllib.parse import unquote

from scraper.core.machine_limits import is_limit, reason_of
from scraper.core.urls import split
from scraper.errors import FetchError, PageError, StoreError

__all__ = ["FileSink", "Files", "safe_name", "served_name"]

_SEPARATORS = re.compile(r"[/\\]")
_ESCAPED = re.compile(r"\\(.)")

#: Octets of a name, of its suffix, and times a name is unquoted.
LONGEST_NAME, LONGEST_SUFFIX, UNQUOTED = 120, 16, 3
#: What Windows takes for a device, whatever its suffix.
DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
)
#: What some file system or shell does not take.
UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f<>:\"|?*/\\]")
#: `filename*=UTF-8''…` (RFC 8187) counts before `filename="…"` (RFC 6266).
EXTENDED: Final = re.compile(r"filename\*\s{0,9}=\s{0,9}([\w-]{1,40})'[\w-]{0,40}'([^;\s]+)", re.IGNORECASE)
QUOTED: Final = re.compile(r"filename\s{0,9}=\s{0,9}(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s\"]+))", re.IGNORECASE)
#: Octets that wait in memory before they are written.
BUFFER: Final = 1 << 20
#: Errors of a disk that no other page will be spared.
DISK: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
    }
)


def safe_name(text: str) -> str:
    """A file name made of whatever text: one component, neither hidden nor a device, of bounded length."""
    for _ in range(UNQUOTED):
        text = unquote(text, errors="replace")
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    text = UNSAFE.sub("_", _SEPARATORS.split(text.rstrip("/\\"))[-1])
    text = "".join(c if c.isprintable() else "_" for c in text).strip(" .")
    stem, suffix = _cut(text)
    if stem.partition(".")[0].strip().lower() in DEVICES:
        stem = f"_{stem}"
    return (stem + suffix).strip(" .") or "file"


def _cut(name: str) -> tuple[str, str]:
    """Stem and suffix, both within their lengths."""
    stem, suffix = os.path.splitext(name)
    if len(suffix.encode()) > LONGEST_SUFFIX:
        stem, suffix = name, ""
    room = LONGEST_NAME - len(suffix.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" ."), suffix


def served_name(url: str, disposition: str) -> str:
    """The name a server gives a file, by Content-Disposition or else its URL; with a mark of the URL in it.

    The mark keeps two files of one name apart, and is the same when the page is fetched again.
    """
    named = ""
    if found := EXTENDED.search(disposition):
        try:
            named = unquote(found[2], encoding=found[1], errors="replace")
        except LookupError:
            named = ""
    if not named and (found := QUOTED.search(disposition)):
        named = _ESCAPED.sub(r"\1", found[1]) if found[1] is not None else found[2]
    stem, suffix = os.path.splitext(safe_name(named or split(url).path))
    mark = blake2b(url.encode(), digest_size=4).hexdigest()
    return f"{stem}-{mark}{suffix}"


class Files:
    """The folder of a crawl's files; made when the first one is stored.

    Invariant: what `sink` opens and `FileSink.keep` names lies inside the folder, symlinks followed.
    `inline`: written in the loop itself, as in a simulation; else in a thread.
    """

    def __init__(self, folder: Path, *, inline: bool = False) -> None:
        self.folder = folder
        self._inline = inline

    def sink(self) -> FileSink:
        """A file to write to, which has no name yet.

        Raises StoreError when there can be none, FetchError `machine` when no file can be opened for now.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f".part-{secrets.token_hex(8)}"
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            if is_limit(error):
                raise FetchError("machine", reason_of(error)) from error
            raise StoreError(f"no file can be stored in {self.folder}: {error.strerror}") from error
        return FileSink(self, path, os.fdopen(number, "wb", buffering=0), inline=self._inline)

    def place(self, name: str) -> Path:
        """Where a file of this name goes: every component made safe, folders made.

        Raises PageError when it cannot be there, StoreError when a symlink leads out of the folder.
        """
        components = [safe_name(part) for part in PurePosixPath(name).parts if part not in ("/", "..")]
        path = self.folder.joinpath(*(components or ["file"]))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            inside = path.parent.resolve().is_relative_to(self.folder.resolve())
        except OSError as error:
            raise _told(error, name) from error
        if not inside:
            raise StoreError(f"{path.parent} leads out of {self.folder}: a symlink; remove it")
        if path.is_dir() and not path.is_symlink():
            raise PageError(f"{name!r} cannot be stored: a folder is there")
        return path


class FileSink:
    """One file while it is written. Invariant: at the end it was kept or is gone; `size` counts its octets."""

    def __init__(self, files: Files, path: Path, file: BinaryIO, *, inline: bool) -> None:
        self.size = 0
        self._files = files
        self._path = path
        self._file = file
        self._inline = inline
        self._waiting = bytearray()

    async def write(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self.size += len(piece)
        self._waiting += piece
        if len(self._waiting) >= BUFFER:
            await self._flush()

    async def keep(self, name: str) -> Path:
        """Give the file its name, in place of one that was there."""
        await self._flush()
        self._file.close()
        path = self._files.place(name)
        try:
            os.replace(self._path, path)
        except OSError as error:
            raise _told(error, name) from error
        return path

    def drop(self) -> None:
        """Whatever was not kept is removed."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        try:
            if self._inline:
                self._write(waiting)
            else:
                await asyncio.to_thread(self._write, waiting)
        except RuntimeError as error:
            if is_limit(error):  # no thread can be started
                raise FetchError("machine") from error
            raise
        except OSError as error:
            raise _told(error, self._path.name) from error

    def _write(self, octets: bytearray) -> None:
        view = memoryview(octets)
        while view:
            view = view[self._file.write(view) :]


def _told(error: OSError, name: str) -> Exception:
    """What the disk says: about itself, which ends the crawl, or about this one name. Or what this machine lacks."""
    if is_limit(error):
        return FetchError("machine", reason_of(error))
    if error.errno in DISK:
        return StoreError(f"{name} cannot be stored: {error.strerror}; free some space or change `files`")
    return PageError(f"{name!r} cannot be stored: {error.strerror}")
