"""The history of a run as one labelled `xarray.Dataset`, and archives of it on disk."""

from __future__ import annotations

import functools
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .. import runtime
from ..config.load import config_to_toml
from ..config.schema import PredictorConfig
from ..data.series import Series
from ..errors import DomainError, IntegrityError
from ..model.fields import CHART_NAMES, FORECAST, INPUT_UNITS, NEXT, Telemetry, variables
from ..runtime.digest import sha256_bytes
from ..runtime.files import write_atomic

PACKAGES = ("uspnb", "jax", "jaxlib", "numpy", "xarray")


def to_dataset(
    telemetry: Telemetry, following: tuple[Any, Any, Any], series: Series, config: PredictorConfig
) -> xr.Dataset:
    """The telemetry of a run as a Dataset with dims `time`, `kernel`, `chart`, `mode` and, for several series, `asset`.

    Args:
        telemetry: arrays of leading shape (T,) or (T, A), the ticks of `series` in their order.
        following: prediction, lower and upper [y] for the tick after the last, each () or (A,).
        series: what was fed.
        config: what it was run with.

    Raises:
        DomainError: the telemetry does not have one row per tick of the series.
    """
    lead = np.shape(telemetry.observation)
    if lead != series.values.shape:
        raise DomainError(f"telemetry of leading shape {lead} does not fit a series of shape {series.values.shape}")
    several = series.assets is not None
    outer = ("time", "asset") if several else ("time",)
    units = series.units or INPUT_UNITS
    columns = {
        name: (outer + about.dims, about.stored(getattr(telemetry, about.name)), about.attributes(units))
        for name, about in variables().items()
        if config.effects or "covariate" not in about.dims
    }
    columns["holder_exponent"][2]["threshold"] = float(config.holder_threshold)
    columns["change_onset"] = (outer, _onset(telemetry), _ONSET | {"units": "tick"})
    for name, value in zip(FORECAST, following, strict=True):
        columns[name] = (outer[1:], np.asarray(value, dtype=np.float64), NEXT[name].attributes(units))
    return xr.Dataset(columns, _coordinates(telemetry, series, config), _provenance(series, config))


_ONSET = {"long_name": "row of the time axis at which the signalled change began; NaN where there is no alarm"}


def _onset(telemetry: Telemetry) -> np.ndarray:
    alarm, ago = np.asarray(telemetry.alarm, dtype=bool), np.asarray(telemetry.onset_ago)
    row = np.arange(len(alarm), dtype=np.float64).reshape((-1,) + (1,) * (alarm.ndim - 1))
    return np.where(alarm, np.maximum(row - ago, 0.0), np.nan)


def _coordinates(telemetry: Telemetry, series: Series, config: PredictorConfig) -> dict[str, Any]:
    long_name = "time (UTC)" if series.has_times else "tick"
    coordinates: dict[str, Any] = {
        "time": (
            "time",
            series.time_coordinate,
            {"long_name": long_name} | ({} if series.has_times else {"units": "tick"}),
        ),
        "kernel": ("kernel", list(config.kernels), {"long_name": "kernel"}),
        "horizon": ("horizon", list(config.horizons), {"long_name": "ticks ahead", "units": "tick"}),
        "level": ("level", list(config.interval_levels), {"long_name": "coverage of an interval", "units": "1"}),
        "chart": ("chart", list(CHART_NAMES), {"long_name": "alarm chart"}),
        "season_slot": ("season_slot", np.arange(np.shape(telemetry.season)[-1]), {"long_name": "season slot"}),
        "mode": ("mode", np.arange(np.shape(telemetry.koopman_frequency)[-1]), {"long_name": "spectral mode"}),
    }
    if config.effects:
        coordinates["covariate"] = ("covariate", list(config.effects), {"long_name": "covariate"})
    if series.assets is not None:
        coordinates["asset"] = ("asset", list(series.assets), {"long_name": "asset"})
    return coordinates


def _provenance(series: Series, config: PredictorConfig) -> dict[str, Any]:
    text = _config_text(config)
    attributes = {
        "title": f"uspnb run of {series.name}" if series.name else "uspnb run",
        "config": text,
        "config_sha256": sha256_bytes(text.encode()),
        "confidence_level": float(config.confidence_level),
        "dtype": "float64",
        "platform": runtime.platform(),
        "notes": "; ".join(series.notes),
    }
    return attributes | {f"version_{name}": version for name, version in versions().items()}


def _config_text(config: PredictorConfig) -> str:
    try:
        return _cached_config_text(config)
    except TypeError:  # a batch of settings holds arrays, which have no hash
        return config_to_toml(config)


@functools.lru_cache(maxsize=32)
def _cached_config_text(config: PredictorConfig) -> str:
    return config_to_toml(config)


@functools.lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    return {name: metadata.version(name) for name in PACKAGES}


def save(ds: xr.Dataset, path: Any) -> Path:
    """Write a Dataset to `path`: netCDF for the suffix .nc, Zarr version 3 for .zarr.

    The archive appears whole or not at all: it is written beside its place and then moved there.

    Raises:
        DomainError: another suffix, or a folder that does not exist.
    """
    target, kind = checked_archive(path)
    exact = {
        name: {"units": "nanoseconds since 1970-01-01", "dtype": "int64"}
        for name, variable in ds.variables.items()
        if variable.dtype.kind == "M"
    }
    if kind == "netcdf":
        content = ds.to_netcdf(None, engine="h5netcdf", encoding=exact)
        write_atomic(target, bytes(content))
        return target
    fresh = target.with_name(f".{target.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    _with_text(ds, object).to_zarr(fresh, mode="w", zarr_format=3, consolidated=False, encoding=exact)
    if target.is_dir():
        shutil.rmtree(target)
    fresh.replace(target)
    return target


def checked_archive(path: Any) -> tuple[Path, str]:
    """The path and the kind ("netcdf" or "zarr") of an archive that could be written there.

    Raises:
        DomainError: as `save`.
    """
    target = Path(path)
    kind = _archive_kind(target)
    if not target.parent.is_dir():
        raise DomainError(f"the folder {target.parent} does not exist; make it first")
    if kind == "netcdf" and target.is_dir():
        raise DomainError(f"{target} is a folder; name a file to write netCDF to")
    if kind == "zarr" and target.is_dir() and any(target.iterdir()) and not (target / "zarr.json").is_file():
        raise DomainError(f"{target} is a folder that holds no Zarr archive; it is not overwritten")
    if kind == "zarr" and target.is_file():
        raise DomainError(f"{target} is a file; name a folder for a Zarr archive")
    return target, kind


def load(path: Any) -> xr.Dataset:
    """Read back, into memory, what `save` wrote: equal to the bit, attributes included.

    Raises:
        DomainError: another suffix, or nothing there.
        IntegrityError: what is there is not a netCDF or Zarr archive.
    """
    source = Path(path)
    kind = _archive_kind(source)
    if not source.exists():
        raise DomainError(f"there is no archive {source}")
    engine: dict[str, Any] = {"engine": "h5netcdf"} if kind == "netcdf" else {"engine": "zarr", "consolidated": False}
    try:
        with xr.open_dataset(source, decode_timedelta=False, **engine) as stored:
            ds = stored.load()
    except (OSError, KeyError, ValueError) as error:
        raise IntegrityError(f"{source} cannot be read as {kind}: {error}") from error
    ds = _with_text(ds, str)
    for variable in ds.variables.values():
        variable.encoding = {}
        if "flag_values" in variable.attrs:
            variable.attrs["flag_values"] = np.asarray(variable.attrs["flag_values"], dtype=np.int8)
    return ds


def _with_text(ds: xr.Dataset, dtype: type) -> xr.Dataset:
    """The same Dataset, its labels as text of fixed length (`str`) or of any length (`object`).

    Zarr version 3 specifies text of any length only.
    """
    labels = {name: v for name, v in ds.coords.items() if v.dtype.kind in "UOT"}
    return ds.assign_coords(
        {name: (v.dims, v.values.astype(object).astype(dtype), v.attrs) for name, v in labels.items()}
    )


def _archive_kind(path: Path) -> str:
    kinds = {".nc": "netcdf", ".zarr": "zarr"}
    if path.suffix.lower() not in kinds:
        raise DomainError(f"{path.name!r} ends in {path.suffix!r}; end it in .nc for netCDF or .zarr for Zarr")
    return kinds[path.suffix.lower()]
