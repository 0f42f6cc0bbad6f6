"""The front end of the live view as one ESM module: its source stands in several files, joined here in their order.

Both hosts, JupyterLab and a served page, want one module that imports nothing, and none may be fetched from elsewhere.
The files share one scope, so a later one uses what an earlier one declares; only the last has an export.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
PARTS = (
    "ring", "scale", "theme", "pen", "draw", "signs", "panels", "reading", "toolbar", "motion", "link", "hands", "view",
    "paint",
)  # fmt: skip


@cache
def esm() -> str:
    """The module's source."""
    return "\n".join((FOLDER / f"live_{part}.js").read_text(encoding="utf-8") for part in PARTS)


@cache
def css() -> str:
    """Its style sheet."""
    return (FOLDER / "live_view.css").read_text(encoding="utf-8")
