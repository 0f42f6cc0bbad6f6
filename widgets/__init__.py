"""Live widgets for notebooks and served pages.

Names load on first use, so that a notebook imports nothing of Panel and a page nothing of ipywidgets.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "FleetPane": "fleet_pane",
    "FleetView": "fleet_view",
    "LiveView": "live_view",
    "LivePane": "live_pane",
    "Controls": "controls",
    "TuningMonitor": "tuning_monitor",
    "TuningPane": "tuning_pane",
    "Workbench": "workbench",
    "show": "workbench",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"uspnb.widgets has no {name!r}; it has {', '.join(sorted(_PLACES))}")
    return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
