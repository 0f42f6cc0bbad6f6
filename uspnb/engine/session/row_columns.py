"""Where each value of a packed result row stands, by the name of its field."""

from __future__ import annotations

import dataclasses
import functools
import math

from ...model.packing import Layout
from ...model.records import Telemetry

HEAD = ("next_prediction", "next_lower", "next_upper", "next_mode")


@functools.cache
def row_columns(layout: Layout) -> dict[str, slice]:
    """Columns of every field of `Telemetry`, and of the next forecast under the names of `HEAD`.

    Args:
        layout: of the rows.

    Returns:
        name -> slice of the row.
    """
    names = (*HEAD, *(field.name for field in dataclasses.fields(Telemetry)))
    columns, start = {}, 0
    for name, shape in zip(names, layout.shapes, strict=True):
        columns[name] = slice(start, start + math.prod(shape))
        start = columns[name].stop
    return columns
