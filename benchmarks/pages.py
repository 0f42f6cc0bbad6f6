"""What the page server stands: `python benchmarks/pages.py [--pages 200 --rounds 3]`.

Pages are opened at the same moment, and again once they are forgotten, while `/health` is asked over and over.  Served
are those that came, refused those that were asked to come again later; nothing else may happen.  Memory is that of the
process before, at the end of the openings, and once the pages are forgotten.

Settings and their defaults:

    --pages 200  opened at once
    --rounds 3   how often
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
from tables import Table, parser, show

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = {
    "round": ",.0f",
    "served": ",.0f",
    "refused": ",.0f",
    "unanswered": ",.0f",
    "seconds": ",.1f",
    "polls of /health": ",.0f",
    "slowest poll (s)": ",.3f",
    "memory before (MB)": ",.0f",
    "opened (MB)": ",.0f",
    "after (MB)": ",.0f",
}


def main() -> None:
    """Print the table."""
    options, began = parser(__doc__).parse_args(), time.perf_counter()
    sys.path.append(str(ROOT / "tests" / "support"))
    from browser import served
    from opened_pages import open_at_once

    rows = []
    with served("live") as server:
        server.wait_until_warm()
        process = psutil.Process(server.process.pid)
        open_at_once(server.address, 1)
        server.wait_until("pages", 0)
        for number in range(1, options.rounds + 1):
            before = process.memory_info().rss
            openings = open_at_once(server.address, options.pages)
            opened = process.memory_info().rss
            server.wait_until("pages", 0)
            after = process.memory_info().rss
            served_count, refused = openings.statuses[200], openings.statuses[503]
            others = options.pages - served_count - refused
            counts = [number, served_count, refused, others, openings.seconds, openings.polls, openings.slowest_poll_s]
            rows.append([*counts, *(size / 1e6 for size in (before, opened, after))])
    show([Table(f"{options.pages} pages opened at once", COLUMNS, rows)], options, began)


if __name__ == "__main__":
    main()
