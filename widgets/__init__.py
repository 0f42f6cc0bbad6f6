"""Live widgets for notebooks and served pages.

Names load on first use, so that a notebook imports nothing of Panel and a page nothing of ipywidgets.
"""

from __future__ import annotations

from uspnb.runtime.later import import_later

_PLACES = {
    "controls": "Controls Workbench show",
    "notebook_views": "FleetView LiveView TuningMonitor",
    "page_views": "FleetPane LivePane TuningPane",
}
__getattr__ = import_later(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted(" ".join(_PLACES.values()).split())
