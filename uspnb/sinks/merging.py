"""Fetching batches and joining those that follow each other: single ticks become stretches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .buffer import Batch
from .records import Records


def merged(batches: list[Batch], columns: Mapping[str, slice]) -> tuple[list[Records], list[tuple[Batch, str]]]:
    """Records on the host, joined where ticks of one series follow each other.

    Args:
        batches: in the order in which they were emitted; that order is kept within each series.
        columns: where each field stands in a row.

    Returns:
        The stretches, and the batches that could not be fetched, each with the reason.
    """
    width = max((place.stop for place in columns.values()), default=0)
    parts: dict[str, list[Records]] = {}
    refused = []
    for batch in batches:
        try:
            rows, stamps = batch.fetched()
            if rows.ndim != 2 or rows.shape[1] < width:
                raise ValueError(f"rows of shape {rows.shape} where {width} columns are named")
        except (RuntimeError, ValueError, TypeError) as error:  # a device that failed, or arrays of another layout
            refused.append((batch, f"records of {batch.asset!r} could not be read: {error}"))
            continue
        parts.setdefault(batch.asset, []).append(Records(batch.asset, batch.first_tick, stamps, rows, columns))
    return [joined for found in parts.values() for joined in _joined(found)], refused


def _joined(parts: list[Records]) -> list[Records]:
    runs: list[list[Records]] = []
    for part in parts:
        last = runs[-1][-1] if runs else None
        follows = last is not None and last.first_tick + len(last) == part.first_tick
        if last is not None and follows and last.rows.shape[1] == part.rows.shape[1]:
            runs[-1].append(part)
        else:
            runs.append([part])
    return [run[0] if len(run) == 1 else _one(run) for run in runs]


def _one(run: list[Records]) -> Records:
    stamps, rows = np.concatenate([part.stamps_ns for part in run]), np.concatenate([part.rows for part in run])
    return Records(run[0].asset, run[0].first_tick, stamps, rows, run[0].columns)
