"""HoloViews with its Bokeh backend; in a notebook its figures ask the network for nothing."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import panel as pn
from holoviews.util import extension

# The backend alone: a notebook's `hv.extension` would put megabytes of script into the cell that happens to import
# this, be it only to write a report.  The script comes with the first figure that is shown.
if "bokeh" not in hv.Store.loaded_backends():
    extension("bokeh")


def show_inline(figure: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a notebook shows of a HoloViews figure or a Panel object, the style sheets in it.

    HoloViews' own way names four style sheets on a server of Panel's, whatever `inline` says; Panel's way does not.
    """
    if not getattr(hv.extension, "_loaded", True):
        hv.extension("bokeh", logo=False, inline=True)
    with pn.config.set(inline=True):
        shown: Any = pn.panel(figure)
        return shown._repr_mimebundle_() or ({}, {})


for kind in (hv.Layout, hv.Overlay):
    hv.Store.set_display_hook("html+js", kind, show_inline)
