"""The front ends: modules that esbuild has bundled from `js/`, and their style sheets.

Both hosts, JupyterLab and a served page, want one module that imports nothing, and none may be fetched from elsewhere.
`make bundle` builds them anew; they are committed, so that only a change of the JavaScript needs node.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def bundle(name: str) -> str:
    """The source of a module, for example "live"."""
    return (FOLDER / "js" / "dist" / f"{name}.js").read_text(encoding="utf-8")


@cache
def style(name: str) -> str:
    """A style sheet, for example "live_view"."""
    return (FOLDER / f"{name}.css").read_text(encoding="utf-8")
