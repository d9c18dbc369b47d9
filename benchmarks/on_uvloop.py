"""Run the command line on uvloop, where that is installed: python -m benchmarks.on_uvloop crawl …

The project has no setting for it, since it does not pay (README.md, uvloop); this is how that was measured.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop  # type: ignore[import-not-found, unused-ignore]  # asked for by name, no dependency

from scraper.cli import main

if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.argv[0] = "scraper"
    main()
