"""`backtest`: a whole series through the predictor, as one Dataset; `backtest_many`: many, here or on a cluster."""

from __future__ import annotations

import dataclasses
import numbers
import warnings
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.schema import PredictorConfig
from ..data.axis import late_note
from ..errors import ConfigError, DomainError, OrderWarning, PartialResultError
from ..model.kernels.registry import packed_kernels, register_packed
from ..model.packing import unpack
from ..runtime.cluster import Client, Outcome, alone, checked_client, outcomes
from .covariates import covariate_ticks
from .functional import FunctionalPredictor, observations, scan_chunks

if TYPE_CHECKING:
    import xarray as xr

    from ..data.series import Series

TICKS_WORTH_A_BAR = 20_000


def backtest(
    series: Any,
    config: PredictorConfig | None = None,
    *,
    times: Any = None,
    unit: str = "",
    seasons: Any = None,
    horizons: Any = None,
    value: Any = None,
    time: Any = None,
    covariates: Any = (),
    progress: bool | None = None,
) -> xr.Dataset:
    """Replay a series tick by tick and return every forecast, made before the tick that it is for.

    Args:
        series: list, array, pandas, polars, Arrow or xarray object of shape (time,) or (time, asset); what is NaN,
            masked or null is a missing tick.
        config: settings; the default configuration where left out.
        times: timestamps of the ticks (aware datetimes, datetime64, text or integers since 1970 in the unit that their
            size says); taken from the series' own index or column of times where it has one, else a regular grid of
            one second.
        unit: of integers of times, "s", "ms", "us" or "ns", instead of what their size says.
        seasons: at most two periods after which the series resembles itself, in ticks or as durations: (48, 336),
            ("1D", "7D"); "auto" finds them as the series goes, () is for none at all; as the configuration says where
            left out, which by default is "auto".
        horizons: ticks ahead that every tick forecasts, rising: (1, 24), range(1, 49); those of the configuration where
            left out.
        value: column of a table that is the series; all that are left where left out.
        time: its column of times.
        covariates: its columns that are known when a forecast is made: the forecast of a tick made h ticks earlier
            sees its row.  Shift a column of which less is known.
        progress: whether to show a bar; by default for runs of 20,000 ticks and more.

    Returns:
        The Dataset of `uspnb.predictor.results`: dims time, kernel, chart and, for a 2-D series, asset.

    Raises:
        DomainError: a series, times, seasons or horizons that cannot be used; the message says why and what to do.

    Warns:
        OrderWarning: more than a tenth of the ticks are refused for their order.
    """
    # pandas and xarray take seconds to import; `import uspnb` for a live loop does without them.
    from tqdm.auto import tqdm

    from ..data.series import read_series
    from .results import to_dataset

    read = read_series(series, times, unit=unit, value=value, time=time, covariates=covariates)
    wanted = with_covariates(with_horizons(_with_seasons(config, seasons, read), horizons), read)
    predictor = FunctionalPredictor(wanted)
    late = late_note(read.timestamps_ns)
    if late:
        warnings.warn(late, OrderWarning, stacklevel=2)
    assets = read.values.shape[1] if read.values.ndim == 2 else None
    told = covariate_ticks(predictor.config, read.covariates, len(read))
    if assets is not None and not isinstance(told, tuple):
        told = np.repeat(told[:, None], assets, axis=1)
    ticks = observations(read.values, read.timestamps_ns, covariates=told)
    shown = read.values.size >= TICKS_WORTH_A_BAR if progress is None else progress
    with tqdm(total=read.values.shape[0], unit="tick", desc="backtest", disable=not shown) as bar:

        def advance_bar(done: int) -> None:
            bar.update(done - bar.n)

        _, rows = scan_chunks(predictor, predictor.init_state(assets), ticks, advance_bar)
    results = unpack(rows, predictor.layout)
    following = (
        np.asarray(results.reference_prediction[-1]),
        np.asarray(results.confidence_lower[-1]),
        np.asarray(results.confidence_upper[-1]),
    )
    return to_dataset(results.telemetry, following, read, predictor.config)


def _with_seasons(config: PredictorConfig | None, seasons: Any, series: Series) -> PredictorConfig | None:
    """The configuration with seasons, in ticks, as durations over the typical interval of a series, or "auto".

    Raises:
        DomainError: neither, more than two, or a duration that is no whole number of ticks.
    """
    if seasons is None:
        return config
    from ..data.times import period_in_ticks

    if isinstance(seasons, str) and seasons == "auto":
        return (PredictorConfig() if config is None else config).finding_seasons()
    given = list(seasons) if isinstance(seasons, (list, tuple, np.ndarray)) else [seasons]
    periods = (period_in_ticks(one, series.timestamps_ns) for one in given)
    try:
        return (PredictorConfig() if config is None else config).with_seasons(*periods)
    except ConfigError as error:
        raise DomainError(str(error)) from error


def with_horizons(config: PredictorConfig | None, horizons: Any) -> PredictorConfig | None:
    """The configuration with these horizons, where they are given.

    Raises:
        DomainError: none, not in rising order, or out of range.
    """
    if horizons is None:
        return config
    try:
        return dataclasses.replace(PredictorConfig() if config is None else config, horizons=horizons)
    except ConfigError as error:
        raise DomainError(str(error)) from error


def with_covariates(config: PredictorConfig | None, series: Series) -> PredictorConfig:
    """The configuration with the covariates of a series, where it has some.

    Raises:
        DomainError: it names others, or the series has none of those that it names.
    """
    config = PredictorConfig() if config is None else config
    named = config.covariates
    if series.covariate_names == named:
        return config
    if named:
        raise DomainError(
            f"the configuration names the covariates {', '.join(named)}, the series has "
            f"{', '.join(series.covariate_names) or 'none'}; give covariates=({', '.join(map(repr, named))},), columns "
            "of the table"
        )
    try:
        return dataclasses.replace(config, covariates=series.covariate_names)
    except ConfigError as error:
        raise DomainError(str(error)) from error


def backtest_many(
    series_collection: Any,
    config: PredictorConfig | None = None,
    *,
    client: Any = None,
    progress: bool | None = None,
) -> dict[Hashable, xr.Dataset]:
    """`backtest` of every series of a collection, here or on the workers of a Dask cluster.

    Args:
        series_collection: a dict of series by name, a list of series, or a table of shape (time, asset) with a series
            in each column.  Lengths and times may differ but in a table.  In a list a series goes by its own `name`,
            else by its place, "series 0".
        config: settings of all of them; the default configuration where left out.
        client: ``distributed.Client``; each series is then one task.  Without it they run one after another in this
            process.
        progress: whether to show a bar; by default for 20,000 ticks and more in all.

    Returns:
        The Dataset of each series by its name, in the order given.

    Raises:
        DomainError: an empty collection, a single series, two of one name, or a series that cannot be used, before
            any is run; a client that cannot be used; a kernel that its workers cannot import.
        PartialResultError: some series failed; its `results` are of those that did not, which all ran to their end.
        UspnbError: the Dask cluster was lost.
    """
    from tqdm.auto import tqdm

    config = PredictorConfig() if config is None else config
    if not isinstance(config, PredictorConfig):
        raise DomainError(f"config has type {type(config).__name__}, expected PredictorConfig; see load_config")
    named = _collection(series_collection)
    ticks = sum(one.values.size for one in named.values())
    shown = ticks >= TICKS_WORTH_A_BAR if progress is None else progress
    with tqdm(total=len(named), unit="series", desc="backtest", disable=not shown) as bar:
        calls = [(one, config) for one in named.values()]

        def advance_bar(call: int) -> None:
            bar.update()

        ran = _here(calls, advance_bar) if client is None else _there(checked_client(client), calls, advance_bar)
    ended = dict(zip(named, ran, strict=True))
    reasons = {name: outcome.reason for name, outcome in ended.items() if outcome.reason}
    results = {name: outcome.value for name, outcome in ended.items() if not outcome.reason}
    if reasons:
        raise PartialResultError(results, reasons)
    return results


def _here(calls: list[tuple[Any, PredictorConfig]], ended: Callable[[int], None]) -> list[Outcome]:
    results = []
    for k, call in enumerate(calls):
        try:
            results.append(Outcome(_replayed(*call), "", False))
        except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:
            results.append(Outcome(None, f"{type(error).__name__}: {error}", False))
        ended(k)
    return results


def _there(client: Client, calls: list[tuple[Any, PredictorConfig]], ended: Callable[[int], None]) -> list[Outcome]:
    kernels = packed_kernels(calls[0][1].kernels, "a worker of the cluster", "leave the client out")
    sent = [(kernels, _replayed, *call) for call in calls]
    results = outcomes(client, _with_kernels, sent, ended)
    # Whoever else died on that worker, this one is tried once more with nothing beside it.
    return [alone(client, _with_kernels, one) if was.killed else was for one, was in zip(sent, results, strict=True)]


def _with_kernels(kernels: str, work: Callable[..., Any], *arguments: Any) -> Any:
    register_packed(kernels)
    return work(*arguments)


def _replayed(series: Any, config: PredictorConfig) -> xr.Dataset:
    return backtest(series, config, progress=False)


def _collection(data: Any) -> dict[Hashable, Any]:
    """The series of a collection by name, read and checked.

    Raises:
        DomainError: see `backtest_many`.
    """
    from ..data.series import read_series

    if isinstance(data, Mapping):
        pairs = list(data.items())
    elif isinstance(data, (list, tuple)) and not (data and isinstance(data[0], numbers.Real)):
        pairs = [(_name(one, f"series {k}"), one) for k, one in enumerate(data)]
    else:
        pairs = _columns(read_series(data))
    if not pairs:
        raise DomainError("the collection holds no series; give at least one")
    named: dict[Hashable, Any] = {}
    for name, one in pairs:
        if name in named:
            raise DomainError(f"two series are called {name!r}; give a dict with a name for each")
        try:
            named[name] = read_series(one)
        except DomainError as error:
            raise DomainError(f"series {name!r}: {error}") from error
    return named


def _name(one: Any, otherwise: str) -> Hashable:
    name = getattr(one, "name", None)  # of a table it may be a column
    return name if isinstance(name, Hashable) and name not in (None, "") else otherwise


def _columns(table: Any) -> list[tuple[Hashable, Any]]:
    if table.assets is None:
        raise DomainError(
            f"one series of {len(table)} ticks is no collection; use backtest, or give a dict, a list or a table"
        )
    return [
        (asset, dataclasses.replace(table, values=table.values[:, a].copy(), assets=None, name=str(asset)))
        for a, asset in enumerate(table.assets)
    ]
