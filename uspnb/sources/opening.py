"""`open_source`: whatever a user has ticks in, as a `Source`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DomainError
from ..runtime.credentials import SCHEMES
from ..runtime.schemes import SchemeRegistry, call_with_options
from .base import Source
from .feed import FeedSource

DEMONSTRATION = ("sea", "demo")
TABLES = (".csv", ".tsv", ".txt")
ARCHIVES = {".nc": "h5netcdf", ".zarr": "zarr"}
KNOWN = (
    "give an array, a pandas Series, an xarray DataArray, a CSV file, a saved run (.nc, .zarr), an iterator, a "
    f"ws:// or http:// address, {DEMONSTRATION[0]!r} for the demonstration, or nothing to feed by hand"
)

_REGISTRY = SchemeRegistry("source", "uspnb.sources", SCHEMES)


def open_source(what: Any = None, **options: Any) -> Source:
    """Open whatever ticks come from.

    | what | source | options |
    |---|---|---|
    | a `Source` | itself | none |
    | None | `FeedSource` | capacity, name, units, live |
    | list, array, table, xarray, `Series` | `ReplaySource` | times, proxies, value, time, covariates, name, units |
    | path of a CSV file | `ReplaySource` of it | those of `read_csv`, name, units |
    | the same with `follow=True` | `CsvTailSource` | its own: time, value, dayfirst, poll_s, name and others |
    | path of a saved run, or its Dataset | `ReplaySource` of its `observation` | asset, name, units |
    | ws, wss, http, https address | `LineSource` | name, units, capacity, live |
    | address of a registered scheme | what its opener gives | those of the opener |
    | iterator or async iterator | `IteratorSource` | name, units, capacity, live |
    | "sea" or "demo" | `ReplaySource` of the demonstration | ticks |

    Libraries of a kind are imported when that kind is opened.

    Raises:
        DomainError: nothing that ticks could come from, or an option that its kind does not have.
    """
    if isinstance(what, type) or (inspect.isroutine(what) and not hasattr(what, "__next__")):
        raise DomainError(f"{getattr(what, '__name__', what)!r} was not called; call it and give what it returns")
    if isinstance(what, Source):
        return _open_with(lambda: what, options)
    if what is None:
        return _open_with(FeedSource, options)
    if isinstance(what, str) and what in DEMONSTRATION:
        return _open_with(_demonstration, options)
    if isinstance(what, str) and "://" in what:
        opener = _REGISTRY.find(what)
        return _open_with(_address, options, what) if opener is None else _REGISTRY.open(opener, what, options, Source)
    if isinstance(what, (str, Path)):
        return _open_path(Path(what).expanduser(), options)
    return _open_data(what, options)


def register_source(scheme: str, opener: Callable[..., Source]) -> None:
    """Have `open_source("scheme://...")`, and so `Session` and `uspnb run --source`, open a source of the user's own.

    An installed package needs no call: its entry point of this name in the group `uspnb.sources` is found.

    Args:
        scheme: what stands before "://", two small letters or more.
        opener: (address, **options) -> `Source`; what it raises reaches whoever opens.

    Raises:
        DomainError: no scheme, one that the package has itself, or no function.
    """
    _REGISTRY.register(scheme, opener)


def _open_with(make: Any, options: dict[str, Any], *arguments: Any) -> Source:
    return call_with_options(make, arguments, options, "this source")


def _kind(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f".{module}", __package__), name)


def _demonstration(ticks: int | None = None) -> Source:
    from ..data.samples import demo_series

    return _kind("replay", "ReplaySource")(demo_series(ticks))


def _address(url: str, name: str = "", units: str = "", capacity: int = 100_000, live: bool = True) -> Source:
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise DomainError(
            f"an address that begins with {scheme}:// is not read; use one of {', '.join(_REGISTRY.schemes())}, or "
            "register the scheme with uspnb.sources.register_source"
        )
    return _kind("lines", "LineSource")(url, name=name, units=units, capacity=capacity, live=live)


def _open_path(path: Path, options: dict[str, Any]) -> Source:
    suffix = path.suffix.lower()
    follow = options.pop("follow", False)
    if suffix in TABLES and follow:
        return _open_with(_kind("csv_tail", "CsvTailSource"), options, path)
    if follow:
        raise DomainError(f"{path.name!r} cannot be followed; only {', '.join(TABLES)} files grow line by line")
    if suffix in TABLES:
        return _open_with(_table, options, path)
    if suffix in ARCHIVES:
        return _open_with(_archive, options, path)
    raise DomainError(f"{str(path)!r} is not a source of ticks; {KNOWN}")


def _table(
    path: Path,
    time: str | None = None,
    value: str | None = None,
    group: str | None = None,
    dayfirst: bool | None = None,
    time_format: str | None = None,
    unit: str | None = None,
    decimal: str | None = None,
    most_bytes: int = 200_000_000,
    covariates: Any = None,
    name: str = "",
    units: str = "",
) -> Source:
    from ..data.csv import read_csv

    series = read_csv(
        path,
        time,
        value,
        group=group,
        dayfirst=dayfirst,
        time_format=time_format,
        unit=unit,
        decimal=decimal,
        most_bytes=most_bytes,
        covariates=covariates,
    )
    return _kind("replay", "ReplaySource")(series, name=name, units=units)


def _archive(path: Path, asset: Any = None, name: str = "", units: str = "") -> Source:
    import xarray as xr

    engine = ARCHIVES[path.suffix.lower()]
    extra = {"consolidated": False} if engine == "zarr" else {}
    if not path.exists():
        raise DomainError(f"there is no archive {path}")
    try:
        with xr.open_dataset(path, engine=engine, decode_timedelta=False, **extra) as stored:  # type: ignore[arg-type]
            array = _one_variable(stored, asset).load()
    except DomainError:
        raise
    except (OSError, KeyError, ValueError) as error:
        raise DomainError(f"{path} cannot be read as {engine}: {error}") from error
    return _kind("replay", "ReplaySource")(array, name=name, units=units)


def _dataset(data: Any, asset: Any = None, name: str = "", units: str = "") -> Source:
    return _kind("replay", "ReplaySource")(_one_variable(data, asset), name=name, units=units)


def _one_variable(ds: Any, asset: Any) -> Any:
    """The series in a Dataset: `observation` of a run, else the only variable; of several assets, the one named."""
    names = list(ds.data_vars)
    if "observation" not in names and len(names) != 1:
        raise DomainError(
            f"the Dataset has variables {', '.join(map(str, names))} and none is called observation; pick one, "
            "ds['name']"
        )
    array = ds["observation" if "observation" in names else names[0]]
    if "asset" not in array.dims:
        if asset is not None:
            raise DomainError(f"asset = {asset!r} was asked for, but there is one series; leave asset out")
        return array
    labels = array["asset"].values.tolist()
    if asset not in labels:
        wish = "" if asset is None else f"no asset {asset!r}, but "
        raise DomainError(f"the Dataset has {wish}the assets {', '.join(map(str, labels[:10]))}; name one with asset=")
    return array.sel(asset=asset)


def _open_data(what: Any, options: dict[str, Any]) -> Source:
    if isinstance(what, (bytes, bytearray, dict, set, frozenset, bool, int, float, complex)):
        raise DomainError(f"a {type(what).__name__} is not a source of ticks; {KNOWN}")
    if hasattr(what, "data_vars"):
        return _open_with(_dataset, options, what)
    if hasattr(what, "__next__") or hasattr(what, "__aiter__"):
        return _open_with(_kind("iterator", "IteratorSource"), options, what)
    if isinstance(what, (list, tuple)) or hasattr(what, "__array__") or hasattr(what, "timestamps_ns"):
        return _open_with(_kind("replay", "ReplaySource"), options, what)
    if hasattr(what, "__iter__"):
        return _open_with(_kind("iterator", "IteratorSource"), options, what)
    raise DomainError(f"a {type(what).__name__} is not a source of ticks; {KNOWN}")
