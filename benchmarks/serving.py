"""A folder of pages, served from one core by a process of its own.

The server is nginx where it is installed, else the standard library's (slower: then only CPU per page means
something, not pages/s). It ends when its parent closes its standard input or dies, and after LONGEST seconds
in any case. Its access log (`STATUS ADDRESS PATH` a line) is the witness of what a crawler really fetched.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["PROJECT", "SITES", "WORK", "BenchmarkError", "How", "Server", "pinned", "serving", "site_folder"]

PROJECT = Path(__file__).resolve().parent.parent
WORK = PROJECT / "benchmarks" / ".work"
#: Where the archives of the three sites lie, beside the project.
SITES = PROJECT.parent / "shared" / "sites"
#: Seconds after which a server ends whatever happens.
LONGEST = 3600.0

#: The port that is taken where it is free on every address, so that links with a port in them stay good.
PORT = 18_080

NGINX = """\
daemon off; master_process off; worker_processes 1; pid {run}/nginx.pid; error_log {run}/nginx.err;
events {{ worker_connections 2048; }}
http {{
    types {{ text/html html; text/css css; application/json json; text/plain txt; }}
    log_format witness '$status $server_addr $request_uri'; access_log {run}/access.log witness buffer=32k flush=50ms;
    sendfile on; tcp_nopush on; keepalive_requests 1000000; {temporary}
    map $request_uri $moved {{ default ""; {moved} }}
    {servers}
}}
"""
HOST = """\
server {{
    listen {address}:{port}{tls}; root {root}; default_type "{type}"; {zipped} {certificate}
    if ($moved) {{ return 308 $moved; }}
    {location}
}}
"""


class BenchmarkError(Exception):
    """What a person can put right; said in one sentence."""


@dataclass(frozen=True)
class How:
    """How a folder is served: by how many addresses (host h has the folder `h`; 0: one, with the folder itself), from .gz
    files, over TLS with the files of `tls` (chain, key, and the certificate of who signed it), with files that are named
    by their query, with redirects (308) of paths."""

    hosts: int = 0
    zipped: bool = False
    tls: tuple[str, str, str] | None = None
    queries: bool = False
    start: str = "/index.html"
    moved: dict[str, str] = field(default_factory=dict)

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.{number + 1}" for number in range(max(1, self.hosts))]


@dataclass(frozen=True)
class Server:
    """A server that stands: the URL of its start page, its addresses as `host:port`, what it is, its access log.
    `trust` is the file with the certificate to trust, where it speaks TLS."""

    start: str
    netlocs: tuple[str, ...]
    software: str
    log: Path
    trust: str | None = None

    @property
    def hosts(self) -> list[str]:
        return [netloc.partition(":")[0] for netloc in self.netlocs]

    def mark(self) -> int:
        """Where the log ends now; give it to `served`."""
        return self.log.stat().st_size

    def served(self, mark: int) -> Served:
        """What was answered since `mark`."""
        self._settle()
        pages: list[str] = []
        robots = 0
        with self.log.open(encoding="utf-8") as log:
            log.seek(mark)
            for line in log:
                status, address, path = line.rstrip("\n").split(" ", 2)
                if path == "/robots.txt":
                    robots += 1
                elif status == "200":
                    pages.append(f"{address} {path}")
        return Served(len(pages), len(set(pages)), robots)

    def _settle(self) -> None:
        """A client may have the last answer before the server has logged it."""
        size = -1
        while size != (size := self.mark()):
            time.sleep(0.1)


@dataclass(frozen=True)
class Served:
    """Pages answered with 200, how many different ones, and requests for robots.txt (which is no page)."""

    answers: int
    distinct: int
    robots: int


def site_folder(given: str | None, site: str = "books") -> Path:
    """The folder of one of the three sites: the one given, or what its archive beside the project holds."""
    archive = SITES / f"{site}.tar.xz"
    if given is not None:
        folder = Path(given).resolve()
    elif archive.is_file():
        folder = _unpacked(archive, WORK / "site" / site) / site
    else:
        raise BenchmarkError(f"there is no {site} site beside the project; name its folder: --site DIR")
    if not (folder / "index.html").is_file():
        raise BenchmarkError(f"{folder} has no index.html; --site DIR must be the folder of the {site} site")
    return folder


def _unpacked(archive: Path, into: Path) -> Path:
    if not into.is_dir():
        part = into.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        part.rename(into)
    return into


def pinned(core: int | None, command: list[str]) -> list[str]:
    """The command, tied to one core; as it is where that cannot be done (`core` None)."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def port_for(how: How) -> int:
    """A port that is free on every address: PORT where it can be."""
    port = PORT
    while not all(_is_free(address, port) for address in how.addresses):
        port += 1
    return port


@contextmanager
def serving(site: Path, core: int | None, how: How | None = None, port: int = 0) -> Iterator[Server]:
    """Serve `site` until the block ends, tied to `core`, on `port` or one that is free."""
    how = how or How()
    port = port or port_for(how)
    run = WORK / "server" / str(port)
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    (run / "access.log").touch()
    nginx = _nginx()
    if nginx is None and how != How():
        raise BenchmarkError("only nginx serves this (Debian: apt install nginx-light)")
    command = [sys.executable, "-m", "benchmarks.serving", str(site), str(port), str(run), nginx or "-"]
    process = subprocess.Popen(
        pinned(core, [*command, json.dumps(asdict(how))]),
        stdin=subprocess.PIPE,
        cwd=PROJECT,
        start_new_session=True,
        env=_environment(),
    )
    try:
        _wait_for(port, process, run)
        netlocs = tuple(f"{address}:{port}" for address in how.addresses)
        start = f"{'https' if how.tls else 'http'}://{netlocs[0]}{how.start}"
        yield Server(start, netlocs, _software(nginx), run / "access.log", how.tls and how.tls[2])
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def _nginx() -> str | None:
    """Where nginx is; on Debian it is outside an ordinary user's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _software(nginx: str | None) -> str:
    if nginx is None:
        return f"python http.server {sys.version.split()[0]}"
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().removeprefix("nginx version: ").replace("/", " ")


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _wait_for(port: int, process: subprocess.Popen[bytes], run: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    said = run / "nginx.err"
    why = said.read_text().strip() if said.is_file() else "it gave no reason"
    raise BenchmarkError(f"the server did not start: {why}")


def _serve(site: str, port: int, run: str, nginx: str, how: str) -> None:
    """The server's process: serve until standard input ends."""
    if nginx == "-":
        _serve_with_python(site, port, Path(run))
    else:
        _serve_with_nginx(site, port, Path(run), nginx, How(**json.loads(how)))


def _configuration(site: str, port: int, how: How) -> tuple[str, str]:
    """The `server` blocks, and the lines of the map of redirects."""
    blocks = [
        HOST.format(
            address=address,
            port=port,
            root=f"{site}/{number}" if how.hosts else site,
            tls=" ssl" if how.tls else "",
            certificate=f"ssl_certificate {how.tls[0]}; ssl_certificate_key {how.tls[1]};" if how.tls else "",
            zipped="gzip_static on;" if how.zipped else "",
            type="text/html; charset=utf-8" if how.queries else "application/octet-stream",
            location="location / { try_files $uri?$args $uri $uri/index.html =404; }" if how.queries else "",
        )
        for number, address in enumerate(how.addresses)
    ]
    return "\n".join(blocks), " ".join(f'"{path}" "{to}";' for path, to in how.moved.items())


def _serve_with_nginx(site: str, port: int, run: Path, nginx: str, how: How) -> None:
    conf = run / "nginx.conf"
    servers, moved = _configuration(site, port, how)
    said = NGINX.format(run=run, temporary=_temporary_paths(nginx, run), servers=servers, moved=moved)
    conf.write_text(said, encoding="utf-8")
    process = subprocess.Popen([nginx, "-p", str(run), "-c", str(conf), "-e", str(run / "nginx.err")])
    try:
        _until_told(process)
    finally:
        process.terminate()
        process.wait(5)


def _temporary_paths(nginx: str, run: Path) -> str:
    """Keep nginx out of folders an ordinary user may not write; directives only for the modules it has."""
    built = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    absent = set(re.findall(r"--without-http_(\w+)_module", built))
    names = ["client_body", *({"proxy", "fastcgi", "uwsgi", "scgi"} - absent)]
    return " ".join(f"{name}_temp_path {run}/{name};" for name in names)


def _until_told(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < until:
        if select.select([sys.stdin], [], [], 1)[0]:
            return


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files over keep-alive connections, with the same log as nginx writes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    log: Path
    lock = threading.Lock()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        with self.lock, self.log.open("a", encoding="utf-8") as log:
            log.write(f"{int(code)} 127.0.0.1 {self.path}\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr; log_request has the witness."""


class _Listening(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def _serve_with_python(site: str, port: int, run: Path) -> None:
    _Handler.log = run / "access.log"
    server = _Listening(("127.0.0.1", port), functools.partial(_Handler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    select.select([sys.stdin], [], [], LONGEST)
    server.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5])
