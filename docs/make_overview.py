"""Draw the picture of the README: `python docs/make_overview.py` (needs Chromium on PATH, for the screenshot only)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import uspnb
from uspnb.data.samples import demo_series

FOLDER = Path(__file__).resolve().parent
TICKS = 6000
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=15000 --window-size=1100,930"
)


def main() -> int:
    """Replay a part of the sea temperature and photograph the overview, light and dark."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("chromium is not on PATH; install Debian's package", file=sys.stderr)
        return 2
    import holoviews as hv

    from uspnb import plots

    ds = uspnb.backtest(demo_series(TICKS), progress=True)
    for theme in ("light", "dark"):
        with tempfile.TemporaryDirectory() as scratch:
            page = Path(scratch) / "overview.html"
            hv.save(plots.overview(ds, theme=theme), page, backend="bokeh", resources="inline")
            background = "ffffffff" if theme == "light" else "181818ff"
            picture = FOLDER / f"overview_{theme}.png"
            command = [chromium, *FLAGS.split(), f"--default-background-color={background}"]
            command += [f"--user-data-dir={scratch}/profile", f"--screenshot={picture}", page.as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            print(picture.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
