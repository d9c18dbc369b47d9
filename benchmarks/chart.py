"""A chart of a kept report: CPU per page of each crawler, as an SVG with nothing in it but shapes and text.

python -m benchmarks.chart [benchmarks/results/shop.json] [benchmarks/results/shop.svg]
"""

from __future__ import annotations

import argparse
import json
import sys
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["chart"]

RESULTS = Path(__file__).parent / "results"
#: Pixels: a line, the names, the longest bar, what stands behind a bar.
LINE, NAMES, BAR, BEHIND = 28, 110, 420, 250
OURS, THEIRS, INK, PAPER = "#0f766e", "#94a3b8", "#1e293b", "#ffffff"


def chart(report: dict[str, Any]) -> str:
    """The SVG: a bar for each lane, with its CPU per page, its ratio to the first, and its peak memory."""
    medians = report["medians"]
    most = max(of["cpu_ms_per_page"] for of in medians.values())
    first = next(iter(medians))
    title = f"CPU per page, ms: {report['lanes'][0]['pages']:,} pages of 30 kB, medians of {len(report['rounds'])} rounds"
    width, height = NAMES + BAR + BEHIND, LINE * (len(medians) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="13" fill="{INK}" role="img" aria-label="{escape(title)}">',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        f'<text x="12" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for row, (name, of) in enumerate(medians.items(), 1):
        top = row * LINE + 8
        length = round(BAR * of["cpu_ms_per_page"] / most, 1)
        ratio = "" if name == first else f" · {report['ratio_medians'][name]:.1f} ×"
        said = f"{of['cpu_ms_per_page']:.2f}{ratio} · {of['peak_mb']:.0f} MB"
        parts += [
            f'<text x="{NAMES - 8}" y="{top + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{NAMES}" y="{top}" width="{length}" height="20" fill="{OURS if name == first else THEIRS}"/>',
            f'<text x="{NAMES + length + 6}" y="{top + 15}">{escape(said)}</text>',
        ]
    machine, python = report["machine"], report["versions"]["python"]
    load = report["load_before"]
    under = f"{machine['cpu']}, {machine['cores']} cores, Python {python}, load before {load:.1f}"
    parts.append(f'<text x="12" y="{height - 8}" font-size="11">{escape(under)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    """Write the chart; exit code 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", nargs="?", default=RESULTS / "shop.json", type=Path)
    parser.add_argument("svg", nargs="?", type=Path, help="default: beside the report")
    options = parser.parse_args()
    svg = options.svg or options.report.with_suffix(".svg")
    svg.write_text(chart(json.loads(options.report.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"wrote {svg}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
