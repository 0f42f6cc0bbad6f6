"""The record of a series as one Dataset, a window of it, or an archive written window by window."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..model.packing import Layout, unpack
from .recording import Recording
from .status import Labels

if TYPE_CHECKING:
    import xarray as xr

TICKS_PER_WINDOW = 32_768
MOST_NETCDF_TICKS = 250_000
MOST_REPORT_TICKS = 50_000


class History:
    """Reads a recording as Datasets; any thread may use it while the session goes on.

    Args:
        recording: the rows.
        layout: of a row.
        config: the settings in force.
        labels: of the series.
        events: what happened beside the ticks.
        pick: of a row, the asset that is meant; all of it where there is one.
        full_rows: gives rows every column of the layout; they have them already where left out.
    """

    def __init__(
        self,
        recording: Recording,
        layout: Layout,
        config: PredictorConfig,
        labels: Labels,
        events: list[dict[str, Any]],
        pick: tuple[int, ...] = (),
        full_rows: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._recording, self._layout, self._config, self._labels = recording, layout, config, labels
        self._events, self._pick, self._full_rows = json.dumps(events), pick, full_rows
        self.ticks, self.oldest = recording.count, recording.oldest

    def window(self, start: int, stop: int) -> xr.Dataset:
        """Ticks start..stop, as `backtest` returns them; `change_onset` counts the rows of this window.

        Raises:
            DomainError: the window is empty, or history was cut back meanwhile.
        """
        # pandas and xarray take seconds to import; a session that only runs does without them
        from ..data.series import Series
        from ..predictor.results import to_dataset

        if stop <= start:
            raise DomainError(f"there are no ticks from {start} to {stop}; the session has processed {self.ticks}")
        rows, stamps = self._read(start, stop)
        results = unpack(rows, self._layout)
        telemetry = results.telemetry
        labels = self._labels
        when = np.arange(start, stop) if labels.grid else stamps.astype("datetime64[ns]")
        series = Series(np.asarray(telemetry.observation), stamps, None, when, labels.name, labels.units, labels.notes)
        last = unpack(rows[-1], self._layout)
        following = (last.reference_prediction, last.confidence_lower, last.confidence_upper)
        ds = to_dataset(telemetry, following, series, self._config)
        ds.attrs["events"] = self._events
        return ds

    def _read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        rows, stamps = self._recording.read(start, stop, self._pick)
        return (rows if self._full_rows is None else self._full_rows(rows)), stamps

    def windows(self) -> Iterator[tuple[int, xr.Dataset]]:
        """All ticks in windows of `TICKS_PER_WINDOW`: first tick, Dataset with `change_onset` as a row of the whole."""
        for start in range(self.oldest, self.ticks, TICKS_PER_WINDOW):
            stop = min(start + TICKS_PER_WINDOW, self.ticks)
            ds = self.window(start, stop)
            rows, _ = self._read(start, stop)
            ago = unpack(rows, self._layout).telemetry.onset_ago
            onset = np.maximum(np.arange(start, stop) - self.oldest - np.asarray(ago), 0.0)
            ds["change_onset"].values[:] = np.where(ds["alarm"].values, onset, np.nan)
            yield start, ds

    def write(self, path: Any) -> Path:
        """Write everything to a file: .zarr window by window, .nc at once, .html as a report of the newest ticks.

        Raises:
            DomainError: another suffix, no folder to write to, no tick yet, or too many ticks for netCDF.
        """
        target = Path(path).expanduser()
        if self.ticks == self.oldest:
            raise DomainError("the session has processed no tick yet; run() or step() first, then export")
        if target.suffix.lower() == ".html":
            return self._write_report(target)
        from ..predictor.results import checked_archive, save

        target, kind = checked_archive(target)
        if kind == "zarr":
            return self._write_zarr(target)
        if self.ticks - self.oldest > MOST_NETCDF_TICKS:
            raise DomainError(
                f"{self.ticks - self.oldest:,} ticks are more than the {MOST_NETCDF_TICKS:,} that are written to "
                "netCDF, which is made in memory; export to a name that ends in .zarr, or save a window with "
                "uspnb.save(session.history(start, stop), path)"
            )
        return save(self.window(self.oldest, self.ticks), target)

    def _write_zarr(self, target: Path) -> Path:
        fresh = target.with_name(f".{target.name}.partial")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            for start, ds in self.windows():
                if start == self.oldest:
                    self._begin_zarr(ds, fresh)
                _write_window(ds, fresh, start - self.oldest)
            if target.is_dir():
                shutil.rmtree(target)
            fresh.replace(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return target

    def _begin_zarr(self, ds: xr.Dataset, folder: Path) -> None:
        """Write the first window with everything that describes it, and make place for the others."""
        import zarr

        labels = {name: v for name, v in ds.coords.items() if v.dtype.kind in "UOT"}
        # Zarr version 3 specifies text of any length only
        ds = ds.assign_coords({name: (v.dims, v.values.astype(object), v.attrs) for name, v in labels.items()})
        encoding: dict[Any, dict[str, Any]] = {
            name: {"chunks": v.shape} for name, v in ds.variables.items() if "time" in v.dims
        }
        if ds["time"].dtype.kind == "M":
            encoding["time"] |= {"units": "nanoseconds since 1970-01-01", "dtype": "int64"}
        ds.to_zarr(folder, mode="w", encoding=encoding, zarr_format=3, consolidated=False)
        group: Any = zarr.open_group(str(folder), mode="r+")
        for name in encoding:
            group[name].resize((self.ticks - self.oldest, *group[name].shape[1:]))

    def _write_report(self, target: Path) -> Path:
        from ..plots.report_file import checked_target, run_report

        target = checked_target(target)
        start = max(self.oldest, self.ticks - MOST_REPORT_TICKS)
        ds = self.window(start, self.ticks)
        name = self._labels.name or "session"
        title = name if start == self.oldest else f"{name}: the last {self.ticks - start:,} of {self.ticks:,} ticks"
        return run_report(ds, title=title).write(target)


def _write_window(ds: xr.Dataset, folder: Path, start: int) -> None:
    """Put a window's numbers in their place; xarray's own way to append costs several times as much."""
    import zarr

    group: Any = zarr.open_group(str(folder), mode="r+")
    for name, variable in ds.variables.items():
        values = variable.values
        if "time" in variable.dims:
            values = values.astype("datetime64[ns]").astype(np.int64) if values.dtype.kind == "M" else values
            group[name][start : start + len(values)] = values
        elif not variable.dims:
            group[name][...] = values  # the forecast for the tick after the last
