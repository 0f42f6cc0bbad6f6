"""One asset of a running fleet as a live view wants its session: the fleet's rows in the view's columns."""

from __future__ import annotations

import numpy as np

from uspnb.array_types import Float
from uspnb.engine.fleet import AssetView
from uspnb.engine.views import PHRASES, view_columns
from uspnb.errors import DomainError


class AssetSession:
    """What `LivePane` and `LiveView` ask of a session, answered by a fleet; commands act on the whole fleet.

    Args:
        asset: of `Fleet.open`.
    """

    def __init__(self, asset: AssetView) -> None:
        self._asset = asset
        self.title, self.units, self.has_times = asset.title, asset.units, asset.has_times
        self.live, self.seekable, self.marks = asset.live, asset.seekable, asset.marks
        self.holder_threshold, self.confidence_level = asset.holder_threshold, asset.confidence_level
        self.reasons = PHRASES
        self.subscribe, self.command = asset.subscribe, asset.command
        self.config, self.alarms = asset.config, asset.alarms

    @property
    def rows_ready(self) -> int:
        """Ticks done."""
        return self._asset.rows_ready

    @property
    def revision(self) -> int:
        """A fleet is never cut back."""
        return self._asset.revision

    @property
    def status(self) -> object:
        """Where the asset stands."""
        return self._asset.status

    def view_rows(self, first: int, stop: int) -> tuple[int, Float[np.ndarray, "tick column"]]:
        """Columns of the ticks still kept, and the tick of the first of them."""
        first, rows, stamps = self._asset.packed(first, stop)
        grid = not self.has_times
        return first, view_columns(rows, stamps, first, self._asset.layout, grid)

    def mark(self, label: str = "") -> object:
        """Refused: a fleet keeps no marks.

        Raises:
            DomainError: always.
        """
        raise DomainError("a fleet keeps no marks; make a Session of this series to go back in it")
