"""The checkpoints that a campaign writes beside its journal: at intervals, and of every best."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from .checkpoint import Image, Texts, write_checkpoint
from .trials import best_of, finished, value_of


class Checkpoints:
    """Writes `NAME_iter{N}.json` and `NAME_best.json` (seed 002, section 21.1).

    The journal is what a campaign goes on from; a checkpoint that cannot be written is a warning, no end.

    Args:
        folder: of the files; made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts = Texts()
        self._trials, self._best = 0, math.inf

    def begin(self, image: Image) -> None:
        """What is there already needs no checkpoint."""
        self._trials, self._best = len(finished(image.trials)), _best(image)

    def after_batch(self, image: Image, interval: int) -> None:
        """Write what is due."""
        count, best = len(finished(image.trials)), _best(image)
        if count // interval > self._trials // interval:
            self.write(image)
        if best < self._best:
            self._write(image, "best")
        self._trials, self._best = count, best

    def write(self, image: Image) -> None:
        """Write a checkpoint now."""
        self._write(image, f"iter{len(finished(image.trials))}")

    def _write(self, image: Image, what: str) -> None:
        path = self.folder / f"{image.study_name}_{what}.json"
        try:
            write_checkpoint(path, image, self.texts)
        except (OSError, ValueError) as error:
            logging.getLogger(__name__).warning("the checkpoint %s was not written: %s", path, error)


def _best(image: Image) -> float:
    best = best_of(image.trials)
    return math.inf if best is None else value_of(best)
