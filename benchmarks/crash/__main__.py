"""Each command shows one promise; without arguments it runs as long as docs/reliability.md says."""

from __future__ import annotations

import argparse

from benchmarks.crash import faults, files, kills


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, about: str, **numbers: float) -> None:
        made = commands.add_parser(name, help=about)
        for number, default in {**numbers, "seed": 1}.items():
            made.add_argument(f"--{number}", type=type(default), default=default)

    command("kills", "CR-01: kill -9 at random times", crawls=25, kills=500, pages=600)
    command("points", "CR-02: kill -9 at every named point", times=20, pages=60, sample=0)
    command("torn", "CR-03: torn logs", states=5000, pages=600)
    command("power", "CR-04: power cuts, from a trace of the writes", states=1000, pages=300)
    command("disk", "CR-05: full disks", pages=600)
    command("locked", "CR-06: another program locks the database", pages=600, seconds=0.0)
    command("signals", "CR-08: SIGINT, SIGTERM, SIGINT twice", times=50, pages=200)
    command("cancel", "CR-09: cancellation at random moments", times=10_000, pages=30)
    command("frozen", "CR-11: SIGSTOP", seconds=60.0, pages=200)
    command("gaps", "PO-06: the rate over kills and resumes", kills=20, pages=200)
    command("workers", "CR-01 with several processes, and PO-11", number=3, kills=50, pages=600)
    traced = commands.add_parser("traced")
    for name in ("path", "synchronous"):
        traced.add_argument(name)
    traced.add_argument("pages", type=int)
    traced.add_argument("--beside", action="store_true")
    given = parser.parse_args()
    match given.command:
        case "kills":
            kills.at_random(given.crawls, given.kills, given.pages, given.seed)
        case "points":
            kills.at_points(given.times, given.pages, given.sample, given.seed)
        case "torn":
            files.torn(given.states, given.pages, given.seed)
        case "power":
            files.power(given.states, given.pages, given.seed)
        case "traced":
            files.traced(given.path, given.synchronous, given.pages, beside=given.beside)
        case "disk":
            faults.disk(given.pages)
        case "locked":
            faults.locked(given.pages, [given.seconds] if given.seconds else [1.0, 10.0, 60.0])
        case "signals":
            faults.signals(given.times, given.pages, given.seed)
        case "cancel":
            faults.cancel(given.times, given.pages, given.seed)
        case "frozen":
            faults.frozen(given.seconds, given.pages)
        case "gaps":
            faults.gaps(given.kills, given.pages, given.seed)
        case "workers":
            faults.workers(given.number, given.kills, given.pages, given.seed)


if __name__ == "__main__":
    main()
