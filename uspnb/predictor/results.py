"""The history of a run as one labelled `xarray.Dataset`: the variable table, assembly, and archives on disk."""

from __future__ import annotations

import dataclasses
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
from ..model.kernels.base import KERNEL_NAMES
from ..model.records import CHART_NAMES, OperatingMode, Telemetry
from ..runtime.digest import sha256_bytes
from ..runtime.files import write_atomic

CHARTS = CHART_NAMES
INPUT_UNITS = "input units"
PACKAGES = ("uspnb", "jax", "jaxlib", "numpy", "xarray")


@dataclasses.dataclass(frozen=True)
class Variable:
    """One variable of the Dataset.

    Attributes:
        name: what it is called there.
        units: unit; "y" stands for the unit of the input.
        long_name: axis label.
        dims: dims beside `time` and `asset`.
        source: field of `Telemetry`, by default the name.
        meanings: names of the codes 0, 1, 2, ... of an integer variable.
        first_code: the code of the first meaning.
    """

    name: str
    units: str
    long_name: str
    dims: tuple[str, ...] = ()
    source: str = ""
    meanings: tuple[str, ...] = ()
    first_code: int = 0

    @property
    def field(self) -> str:
        """The field of `Telemetry` that fills the variable."""
        return self.source or self.name


def _table(*rows: tuple[Any, ...]) -> dict[str, Variable]:
    return {row[0]: Variable(*row) for row in rows}


K, C, M = ("kernel",), ("chart",), ("mode",)

# fmt: off
VARIABLES: dict[str, Variable] = _table(
    ("observation", "y", "observation, as it came"),
    ("prediction", "y", "forecast for this time, made one tick earlier"),
    ("lower", "y", "lower end of the forecast interval"),
    ("upper", "y", "upper end of the forecast interval"),
    ("scale", "y", "standard deviation of the forecast"),
    ("residual", "y", "observation minus forecast"),
    ("reference_residual", "y", "observation minus the slow reference forecast, which the alarm charts read"),
    ("z_score", "1", "distance from the rolling level in robust scales"),
    ("kernel_prediction", "y", "forecast of each kernel for this time", K),
    ("kernel_scale", "y", "standard deviation of each kernel's forecast", K),
    ("weight", "1", "weight of each kernel in the next forecast", K),
    ("target_weight", "1", "weight that each kernel's record asks for", K),
    ("kernel_clipped", "1", "whether a kernel's forecast was clipped", K, "clipped"),
    ("holder_exponent", "1", "Holder exponent of the path"),
    ("holder_valid", "1", "whether this window has a Holder exponent of its own"),
    ("fractal_dimension", "1", "fractal dimension of the path, 2 - H"),
    ("whittle_exponent", "1", "Hurst exponent by Whittle's likelihood, a cross-check"),
    ("jump", "1", "whether the last increment is a jump"),
    ("stationary", "1", "whether the window looks stationary"),
    ("koopman_frequency", "1/tick", "frequency of a spectral mode", M),
    ("koopman_power", "1", "power of a spectral mode", M),
    ("paley_wiener_integral", "1", "Paley-Wiener integral of the spectrum"),
    ("drift", "frame scale/tick", "drift of the semimartingale split"),
    ("quadratic_variation", "frame scale^2", "quadratic variation over the window"),
    ("jump_share", "1", "share of the quadratic variation that jumps made"),
    ("cusum_up", "1", "upward sum of the mean chart"),
    ("cusum_down", "1", "downward sum of the mean chart"),
    ("cusum_drift", "1", "larger of the two sums of the mean chart"),
    ("cusum_threshold", "1", "threshold of the mean chart", (), "adaptive_threshold"),
    ("chart_statistic", "1", "sum of each chart", C),
    ("chart_threshold", "1", "threshold of each chart", C),
    ("alarm", "1", "whether a change was signalled"),
    ("alarm_chart", "1", "chart that signalled", (), "", ("none", *CHARTS, "level_release"), -1),
    ("in_grace", "1", "whether further alarms are held back after one"),
    ("kurtosis", "1", "kurtosis of the residuals"),
    ("free_energy", "1", "free energy after the transport step"),
    ("free_energy_before", "1", "free energy before the transport step"),
    ("transport_cost", "1", "entropic transport cost between old and target weights"),
    ("sinkhorn_epsilon", "1", "entropic regularisation"),
    ("sinkhorn_converged", "1", "whether Sinkhorn's marginals converged"),
    ("sinkhorn_error", "1", "largest error of Sinkhorn's marginals"),
    ("learning_rate", "1", "step of the weights towards their target"),
    ("entropy_window", "tick", "entropy window that volatility sets"),
    ("volatility", "1", "moving standard deviation of the standardised residual"),
    ("dgm_entropy", "1", "entropy of the value function"),
    ("dgm_expected_entropy", "1", "entropy that a healthy value function has"),
    ("distance_to_collapse", "1", "entropy of the value function minus the collapse threshold"),
    ("entropy_ratio", "1", "entropy relative to its own baseline"),
    ("mode_collapse_warning", "1", "whether the value function has been collapsing for long"),
    ("pde_residual", "1", "residual of the backward equation off the collocation points"),
    ("stiffness", "1", "stiffness of the drift"),
    ("stiffness_low", "1", "stiffness below which the explicit scheme runs"),
    ("stiffness_high", "1", "stiffness above which the implicit scheme runs"),
    ("solver", "1", "integration scheme", (), "", ("explicit", "mixed", "implicit")),
    ("jump_intensity", "1/tick", "estimated intensity of jumps"),
    ("accepted", "1", "whether the gate let the tick in"),
    ("rejected", "1", "whether the gate refused the tick"),
    ("not_finite", "1", "whether the tick was missing or infinite"),
    ("outlier", "1", "whether the tick was beyond the outlier bound"),
    ("out_of_order", "1", "whether the tick's time was not after the last one's"),
    ("stale", "1", "whether the tick was older than its time to live"),
    ("sparse", "1", "whether the tick came too long after the last one"),
    ("frozen", "1", "whether the signal stands still improbably long"),
    ("released", "1", "whether outliers in a row became a new level here"),
    ("degraded", "1", "whether the weights are held because the input is doubtful"),
    ("emergency", "1", "whether the roughness breaker is open"),
    ("operating_mode", "1", "operating mode", (), "", OperatingMode.NAMES),
    ("ticks", "tick", "ticks accepted so far"),
)
# fmt: on

FOLLOWING: dict[str, Variable] = _table(
    ("next_prediction", "y", "forecast for the tick after the last"),
    ("next_lower", "y", "lower end of that forecast's interval"),
    ("next_upper", "y", "upper end of that forecast's interval"),
)


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
        name: (outer + about.dims, _stored(getattr(telemetry, about.field), about), _attributes(about, units))
        for name, about in VARIABLES.items()
    }
    columns["holder_exponent"][2]["threshold"] = float(config.holder_threshold)
    columns["change_onset"] = (outer, _onset(telemetry), _ONSET | {"units": "tick"})
    for (name, about), value in zip(FOLLOWING.items(), following, strict=True):
        columns[name] = (outer[1:], np.asarray(value, dtype=np.float64), _attributes(about, units))
    return xr.Dataset(columns, _coordinates(telemetry, series), _provenance(series, config))


def _stored(array: Any, about: Variable) -> np.ndarray:
    array = np.asarray(array)
    return array.astype(np.int8) if about.meanings else array


def _attributes(about: Variable, units: str) -> dict[str, Any]:
    made: dict[str, Any] = {"units": units if about.units == "y" else about.units, "long_name": about.long_name}
    if about.meanings:
        codes = range(about.first_code, about.first_code + len(about.meanings))
        made |= {"flag_values": np.array(codes, dtype=np.int8), "flag_meanings": " ".join(about.meanings)}
    return made


_ONSET = {"long_name": "row of the time axis at which the signalled change began; NaN where there is no alarm"}


def _onset(telemetry: Telemetry) -> np.ndarray:
    alarm, ago = np.asarray(telemetry.alarm, dtype=bool), np.asarray(telemetry.onset_ago)
    row = np.arange(len(alarm), dtype=np.float64).reshape((-1,) + (1,) * (alarm.ndim - 1))
    return np.where(alarm, np.maximum(row - ago, 0.0), np.nan)


def _coordinates(telemetry: Telemetry, series: Series) -> dict[str, Any]:
    long_name = "time (UTC)" if series.has_times else "tick"
    made: dict[str, Any] = {
        "time": (
            "time",
            series.time_coordinate,
            {"long_name": long_name} | ({} if series.has_times else {"units": "tick"}),
        ),
        "kernel": ("kernel", list(KERNEL_NAMES), {"long_name": "kernel"}),
        "chart": ("chart", list(CHARTS), {"long_name": "alarm chart"}),
        "mode": ("mode", np.arange(np.shape(telemetry.koopman_frequency)[-1]), {"long_name": "spectral mode"}),
    }
    if series.assets is not None:
        made["asset"] = ("asset", list(series.assets), {"long_name": "asset"})
    return made


def _provenance(series: Series, config: PredictorConfig) -> dict[str, Any]:
    text = _config_text(config)
    made = {
        "title": f"uspnb run of {series.name}" if series.name else "uspnb run",
        "config": text,
        "config_sha256": sha256_bytes(text.encode()),
        "confidence_level": float(config.confidence_level),
        "dtype": "float64",
        "platform": runtime.platform(),
        "notes": "; ".join(series.notes),
    }
    return made | {f"version_{name}": version for name, version in versions().items()}


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
