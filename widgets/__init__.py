"""Live widgets for notebooks and served pages.

Names load on first use, so that a notebook imports nothing of Panel and a page nothing of ipywidgets.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "Controls": "controls",
    "FleetPane": "page_views",
    "FleetView": "notebook_views",
    "LivePane": "page_views",
    "LiveView": "notebook_views",
    "TuningMonitor": "notebook_views",
    "TuningPane": "page_views",
    "Workbench": "controls",
    "show": "controls",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"uspnb.widgets has no {name!r}; it has {', '.join(sorted(_PLACES))}")
    return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
