"""The rows of the ticks that a predictor can still give back."""

from __future__ import annotations

import numpy as np


class HistoryRing:
    """The last `limit` rows of float64 and their timestamps, in one block that grows to its limit and no further."""

    def __init__(self, limit: int, width: int) -> None:
        self.limit, self.count, self.skipped = limit, 0, 0
        self.rows = np.empty((min(limit, 256), width))
        self.stamps = np.empty(len(self.rows), np.int64)

    def append(self, rows: np.ndarray, stamps: np.ndarray) -> None:
        self.skipped += max(len(rows) - self.limit, 0)
        for row, stamp in zip(rows[-self.limit :], stamps[-self.limit :], strict=True):
            if self.count >= len(self.rows) and len(self.rows) < self.limit:
                longer = min(self.limit, 2 * len(self.rows))
                self.rows = np.resize(self.rows, (longer, self.rows.shape[1]))
                self.stamps = np.resize(self.stamps, longer)
            place = self.count % len(self.rows)
            self.rows[place], self.stamps[place] = row, stamp
            self.count += 1

    @property
    def seen(self) -> int:
        """Rows that were ever appended, those that went past the limit at once included."""
        return self.count + self.skipped

    def ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and timestamps, oldest first."""
        kept = min(self.count, len(self.rows))
        places = (np.arange(kept) + (self.count - kept)) % len(self.rows)
        return self.rows[places], self.stamps[places]
