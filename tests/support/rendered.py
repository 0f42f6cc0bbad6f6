"""A figure as a page, any warning of the drawing libraries an error."""

from __future__ import annotations

import warnings
from typing import Any

import holoviews as hv
from bokeh.embed import file_html
from bokeh.resources import CDN


def render(figure: Any) -> str:
    """The HTML of a HoloViews figure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return file_html(hv.render(figure, backend="bokeh"), CDN, title="figure")
