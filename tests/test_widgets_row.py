"""The widgets' row of the house: they import any room, no room imports them, and each front end loads alone.

import-linter cannot see them, because their folder stands outside the package's.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path


def imported(path: Path) -> set[str]:
    """Every module that a file imports by its full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add("." * node.level + node.module)
    return names


def test_no_room_below_imports_the_widgets(project_root: Path) -> None:
    for path in (project_root / "uspnb").rglob("*.py"):
        if path.name == "cli.py":  # the command line opens the pages
            continue
        named = {name for name in imported(path) if name.lstrip(".").startswith(("widgets", "uspnb.widgets"))}
        assert named == set(), f"{path.relative_to(project_root)} imports {named}"


def test_widgets_reach_rooms_by_their_full_name(project_root: Path) -> None:
    """A relative import would look for a room in the folder of the widgets."""
    inside = {path.stem for path in (project_root / "widgets").rglob("*.py")} | {"apps"}
    for path in (project_root / "widgets").rglob("*.py"):
        for name in imported(path):
            if name.startswith("."):
                assert name.lstrip(".").split(".")[0] in inside | {""}, f"{path.name} imports {name}"


def test_a_notebook_loads_no_panel_and_a_page_no_ipywidgets() -> None:
    for wanted, unwanted in (("LiveView", "panel"), ("LivePane", "ipywidgets")):
        code = f"import sys; from uspnb.widgets import {wanted}; sys.exit({unwanted!r} in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, f"{wanted} brought {unwanted} with it\n{done.stderr}"
