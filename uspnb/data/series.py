"""What a user hands over as a series, turned into plain arrays: `read_series` and the `Series` it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..array_types import Float, Int
from ..errors import DomainError
from .axis import find_order, late_note
from .table import TIME_NAMES
from .times import GRID_NOTE, NANOSECONDS, epoch_unit, read_times

SHORTEST = 2
LEAST_NS = 10**17  # of nanoseconds since 1970 that are no count of rows: the year 1973


@dataclasses.dataclass(frozen=True)
class Series:
    """One series, or several on the same ticks, as the compiled step reads them.

    Attributes:
        values: y [input units], (T,) or (T, A); NaN and infinities are kept for the gate to flag.
        timestamps_ns: when each tick was measured [ns since 1970 UTC], (T,).
        assets: labels of the columns of `values`, None for a single series.
        time_coordinate: what the `time` coordinate of a result holds: datetime64[ns] in UTC where the user gave
            times, else 0, 1, 2, ...
        name: what the series is called, "" if unknown.
        units: unit of `values`, "" if unknown.
        notes: readings of the input that the user should know of, such as a zone that was assumed.
        covariates: of each tick, (T, C), NaN where one is not known; None without any.
        covariate_names: of its columns.
    """

    values: Float[np.ndarray, "time *asset"]
    timestamps_ns: Int[np.ndarray, "time"]
    assets: tuple[Any, ...] | None
    time_coordinate: np.ndarray
    name: str = ""
    units: str = ""
    notes: tuple[str, ...] = ()
    covariates: Float[np.ndarray, "time covariate"] | None = None
    covariate_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def has_times(self) -> bool:
        """Whether the user gave times, so that `time_coordinate` holds datetimes."""
        return self.time_coordinate.dtype.kind == "M"


def read_series(
    data: Any, times: Any = None, *, unit: str = "", value: Any = None, time: Any = None, covariates: Any = ()
) -> Series:
    """Turn a list, NumPy array, table or Series of pandas, polars or Arrow, or xarray DataArray into a `Series`.

    A table is read as (time, asset).  A pandas `DatetimeIndex`, a datetime coordinate or the one column of times of a
    table gives the times; an index of integers that are seconds, milliseconds or more since 1970 by their size does so
    too, any other index of numbers is a regular grid.  Times without a zone are taken as UTC.  Rows that stand newest
    first or in no order are put in the order of their times; few late or equal times pass, and the gate rejects those
    ticks.  `Series.notes` says what was done.

    Args:
        data: the values; integers and float32 become float64, NaN and infinities stay, what is masked or missing is
            NaN.
        times: one time per row where `data` has none: datetimes, `numpy.datetime64`, a `DatetimeIndex`, text, or
            integers since 1970 in the unit that their size says.
        unit: of integers of times, "s", "ms", "us" or "ns", instead of that.
        value: column of a table that is the series, instead of all that are left.
        time: its column of times.
        covariates: its columns that hold covariates, each the value at the row's own tick.

    Raises:
        DomainError: a column that is not there; not real numbers, not one or two dimensions, fewer than two ticks, dims
            other than (time, asset), a missing time, or as many times as do not fit the values.
    """
    data = _as_known(data)
    known: Any = {}
    if value is not None or time is not None or len(covariates):
        picked = _pick_columns(data, times, value, time, covariates)
        data, times, known = (
            picked.data,
            picked.times,
            {"covariates": picked.covariates, "covariate_names": picked.names},
        )
    if isinstance(data, Series):
        if times is not None:
            raise DomainError("the series already carries its times; leave `times` out")
        return data
    if isinstance(data, xr.DataArray):
        parts = _from_xarray(data)
    elif isinstance(data, (pd.Series, pd.DataFrame)):
        parts = _from_pandas(data, unit, times is None)
    elif isinstance(data, xr.Dataset):
        raise DomainError(
            f"a Dataset with variables {', '.join(map(str, data.data_vars))} is not one series; pick one, ds['name']"
        )
    elif isinstance(data, (str, bytes, dict, set)) or data is None:
        raise DomainError(
            f"a {type(data).__name__} is not a series; give a list, a NumPy array, a pandas Series or DataFrame, or an "
            "xarray DataArray (a CSV file is read by `uspnb.data.csv.read_csv`)"
        )
    else:
        return assemble_series(data, times, unit=unit)
    if parts["times"] is not None and times is not None:
        raise DomainError("times were given twice, in the index of the data and in `times`; leave one of them out")
    return assemble_series(**parts | ({} if times is None else {"times": times}), **known, unit=unit)


def split_covariates(table: Series) -> Series:
    """The first column of a table as a series, the others as its covariates."""
    names = tuple(map(str, table.assets or ()))
    return dataclasses.replace(
        table,
        values=np.ascontiguousarray(table.values[:, 0]),
        assets=None,
        name=table.name or names[0],
        covariates=table.values[:, 1:],
        covariate_names=names[1:],
    )


class _Picked(NamedTuple):
    """What a table's named columns are: the series, its times, the covariates."""

    data: pd.Series | pd.DataFrame
    times: Any
    covariates: Float[np.ndarray, "time covariate"] | None
    names: tuple[str, ...]


def _pick_columns(data: Any, times: Any, value: Any, time: Any, covariates: Any) -> _Picked:
    if not isinstance(data, pd.DataFrame):
        raise DomainError(
            f"value, time and covariates name columns of a table, but the data are a {type(data).__name__}; give a "
            "DataFrame of pandas or polars, or an Arrow table"
        )
    given = [covariates] if isinstance(covariates, str) else list(covariates)
    named = [*given, *(one for one in (value, time) if one is not None)]
    if missing := [one for one in named if one not in data.columns]:
        raise DomainError(
            f"the table has no column {missing[0]!r}; its columns are {', '.join(map(str, data.columns))}"
        )
    if len(set(named)) < len(named):
        raise DomainError(f"value, time and covariates name a column twice among {', '.join(map(str, named))}")
    if odd := [one for one in given if not _is_real(data[one].dtype)]:
        raise DomainError(
            f"the covariate {odd[0]!r} holds no real numbers (dtype {data[odd[0]].dtype}); turn it into numbers, a "
            "class into columns of 0 and 1 (pandas.get_dummies)"
        )
    if time is not None and times is not None:
        raise DomainError("times were given twice, as a column and in `times`; leave one of them out")
    own: Any = data.drop(columns=named) if value is None else data[value]
    if time is not None:
        own, times = own.reset_index(drop=True), data[time].reset_index(drop=True)
    elif value is not None and times is None and not isinstance(data.index, (pd.DatetimeIndex, pd.PeriodIndex)):
        _, times, _ = _take_times(data.drop(columns=[value, *given]), "")
        own = own if times is None else own.reset_index(drop=True)
    known = data[given].to_numpy(dtype=np.float64, na_value=np.nan) if given else None
    return _Picked(own, times, known, tuple(map(str, given)))


def _as_known(data: Any) -> Any:
    """Tables and columns of polars and Arrow as those of pandas, without importing either; anything else as it is."""
    kind = type(data).__module__.partition(".")[0]
    if kind == "pyarrow" and hasattr(data, "to_pandas"):
        return data.to_pandas()
    if kind != "polars":
        return data
    if hasattr(data, "collect"):
        data = data.collect()
    if hasattr(data, "get_columns"):
        return pd.DataFrame({column.name: _from_polars(column) for column in data.get_columns()})
    return _from_polars(data)


def _from_polars(column: Any) -> pd.Series:
    zone = getattr(column.dtype, "time_zone", None)
    series = pd.Series(column.to_numpy(), name=column.name or None)
    return series.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else series


def assemble_series(
    values: Any,
    times: Any,
    *,
    assets: tuple[Any, ...] | None = None,
    name: str = "",
    units: str = "",
    unit: str = "",
    notes: tuple[str, ...] = (),
    covariates: Float[np.ndarray, "time covariate"] | None = None,
    covariate_names: tuple[str, ...] = (),
) -> Series:
    """A `Series` of parts that were told apart already.

    Args:
        values: real numbers, (T,) or (T, A).
        times: one per row, as `read_times` takes them; None for a regular grid of one second.
        assets: labels of the columns; 0, 1, 2, ... where left out.
        name, units: of the values.
        unit: of integers of times, where it is not what their size says.
        notes: what was assumed so far.
        covariates, covariate_names: as of `Series`.

    Raises:
        DomainError: see `read_series`; labels that are not unique.
    """
    array = real_array(values)
    if array.ndim == 2 and assets is None:
        assets = tuple(range(array.shape[1]))
    if assets is not None and len(set(assets)) < len(assets):
        raise DomainError(f"asset labels {list(assets)!r} are not unique; rename the columns")
    if times is None:
        stamps = np.arange(len(array), dtype=np.int64) * NANOSECONDS
        grid = np.arange(len(array))
        return Series(array, stamps, assets, grid, name, units, (*notes, GRID_NOTE), covariates, covariate_names)
    stamps, read = read_times(times, unit)
    if len(stamps) != len(array):
        raise DomainError(f"{len(stamps)} times for {len(array)} rows of values; give one time per row")
    order = find_order(stamps)
    if order.places is not None:
        array, stamps = array[order.places], stamps[order.places]
        covariates = None if covariates is None else covariates[order.places]
    notes = (*notes, *read, *filter(None, (order.note, late_note(stamps))))
    when = stamps.astype("datetime64[ns]")
    return Series(array, stamps, assets, when, name, units, notes, covariates, covariate_names)


def real_array(values: Any) -> Float[np.ndarray, "time *asset"]:
    """Values as float64 of one or two dimensions, or a refusal that names what is wrong with them.

    Raises:
        DomainError: bool, complex, strings, objects, ragged rows, no or three dimensions, fewer than two ticks.
    """
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiu":
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DomainError(f"the values do not form an array ({error}); every row needs as many numbers") from error
    if array.size and array.dtype.kind not in "fiu":
        kinds = {"b": "truth values", "c": "complex numbers", "U": "text", "S": "bytes", "M": "times", "m": "durations"}
        what = kinds.get(array.dtype.kind, "objects")
        raise DomainError(
            f"the values are {what} (dtype {array.dtype}), not real numbers; convert them first, for example with "
            "numpy.asarray(values, dtype=float)"
        )
    if array.ndim not in (1, 2):
        raise DomainError(f"the values have shape {array.shape}; give (time,) or (time, asset)")
    if len(array) < SHORTEST or array.size == 0:
        raise DomainError(
            f"the values have shape {array.shape}; at least {SHORTEST} ticks are needed, one to start from and one to "
            "score"
        )
    return np.ascontiguousarray(array, dtype=np.float64)


def _from_pandas(data: pd.Series | pd.DataFrame, unit: str, needs_times: bool) -> dict[str, Any]:
    assets, name, times, notes = None, "", None, ()
    if isinstance(data, pd.DataFrame):
        if needs_times and not isinstance(data.index, (pd.DatetimeIndex, pd.PeriodIndex)):
            data, times, notes = _take_times(data, unit)
        odd = [f"{c!r} ({t})" for c, t in zip(data.columns, data.dtypes, strict=True) if not _is_real(t)]
        if odd:
            raise DomainError(
                f"columns {', '.join(odd[:12])} hold no real numbers; leave them out or convert them, and give a "
                "column of times as the index (set_index) or as times="
            )
        assets = _labels(data.columns)
        if times is not None and len(assets) == 1:
            assets, name, data = None, str(assets[0]), data.iloc[:, 0]
    else:
        if not _is_real(data.dtype) and len(data):
            raise DomainError(
                f"a pandas Series of dtype {data.dtype} holds no real numbers; convert it with .astype(float)"
            )
        name = "" if data.name is None else str(data.name)
    if data.size == 0:
        raise DomainError(f"the values have shape {data.shape}; at least {SHORTEST} ticks are needed")
    values = data.to_numpy(dtype=np.float64, na_value=np.nan)
    parts = {"values": values, "assets": assets, "name": name, "notes": notes}
    index = data.index
    if times is not None or isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        return parts | {"times": index if times is None else times}
    if isinstance(index, pd.MultiIndex) or not pd.api.types.is_numeric_dtype(index.dtype):
        raise DomainError(
            f"an index of type {type(index).__name__} ({index.dtype}) names no instants; use a DatetimeIndex "
            "(pandas.to_datetime) or reset_index(drop=True) for a regular grid"
        )
    return parts | {"times": index if needs_times and _are_instants(index, unit) else None}


def _are_instants(numbers: pd.Index, unit: str) -> bool:
    """Whether integers are times since 1970, by their size, and no count of rows."""
    if not pd.api.types.is_integer_dtype(numbers.dtype):
        return False
    present = numbers.dropna()
    if not len(present) or int(present.min()) <= 0:
        return False
    return bool(unit) or epoch_unit(*present.tolist()) != "ns" or int(present.min()) > LEAST_NS


def _take_times(data: pd.DataFrame, unit: str) -> tuple[pd.DataFrame, Any, tuple[str, ...]]:
    """A table without its column of times, that column, and a note; the table alone where it has none."""
    dated = [k for k, kind in enumerate(data.dtypes) if pd.api.types.is_datetime64_any_dtype(kind)]
    texts = [k for k, kind in enumerate(data.dtypes) if not _is_real(kind) and k not in dated]
    named = [k for k, name in enumerate(data.columns) if str(name).strip().lower() in TIME_NAMES]
    places = [k for k in dated if k in named] or dated or [k for k in texts if k in named and _is_text(data.iloc[:, k])]
    if not places:
        places = [k for k in named if _are_instants(pd.Index(data.iloc[:, k]), unit)][:1]
    if len(places) > 1:
        names = ", ".join(repr(data.columns[k]) for k in places)
        raise DomainError(f"columns {names} all hold times; give one of them as the index (set_index) or as times=")
    if not places:
        return data, None, ()
    name = data.columns[places[0]]
    note = f"column {name} was taken for the times"
    return data.drop(columns=name), data.iloc[:, places[0]], (note,)


def _is_text(column: pd.Series) -> bool:
    return bool(len(column)) and all(isinstance(cell, str) for cell in column)


def _is_real(dtype: Any) -> bool:
    types = pd.api.types
    return bool(types.is_integer_dtype(dtype) or types.is_float_dtype(dtype))


def _from_xarray(data: xr.DataArray) -> dict[str, Any]:
    expected = ("time", "asset")[: data.ndim]
    if data.ndim not in (1, 2) or set(data.dims) != set(expected):
        remedy = f"; rename it with .rename({{{data.dims[0]!r}: 'time'}})" if data.ndim == 1 else ""
        raise DomainError(f"dims {tuple(data.dims)} are not ('time',) or ('time', 'asset'){remedy}")
    data = data.transpose(*expected)
    index = data["time"].values if "time" in data.coords else None
    if index is not None and index.dtype.kind in "fiu":
        index = None
    assets = None
    if data.ndim == 2:
        assets = _labels(data["asset"].values) if "asset" in data.coords else None
    name = "" if data.name is None else str(data.name)
    return {
        "values": data.values,
        "times": index,
        "assets": assets,
        "name": name,
        "units": str(data.attrs.get("units", "")),
    }


def _labels(labels: Sequence[Any] | pd.Index | np.ndarray) -> tuple[Any, ...]:
    """Whole numbers where all labels are, else their text: what netCDF and Zarr can hold."""
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    if all(isinstance(label, int) and not isinstance(label, bool) for label in plain):
        return tuple(plain)
    return tuple(map(str, plain))
