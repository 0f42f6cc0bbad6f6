"""`backtest`: a whole series through the predictor, as one Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .batching import scan_chunks
from .config.schema import PredictorConfig
from .functional import FunctionalPredictor, observations
from .packing import unpack

if TYPE_CHECKING:
    import xarray as xr

TICKS_WORTH_A_BAR = 20_000


def backtest(
    series: Any, config: PredictorConfig | None = None, *, times: Any = None, progress: bool | None = None
) -> xr.Dataset:
    """Replay a series tick by tick and return every forecast, made before the tick that it is for.

    Args:
        series: list, array, pandas or xarray object of shape (time,) or (time, asset); NaN is a missing tick.
        config: settings; the default configuration where left out.
        times: timestamps of the ticks (aware datetimes, datetime64 or ns since 1970); taken from the series' own index
            where it has one, else a regular grid of one second.
        progress: whether to show a bar; by default for runs of 20,000 ticks and more.

    Returns:
        The Dataset of `uspnb.results`: dims time, kernel, chart and, for a 2-D series, asset.

    Raises:
        DomainError: a series or times that cannot be used; the message says why and what to do.
    """
    # pandas and xarray take seconds to import; `import uspnb` for a live loop does without them.
    from tqdm.auto import tqdm

    from .results import to_dataset
    from .series import read_series

    predictor = FunctionalPredictor(config)
    read = read_series(series, times)
    assets = read.values.shape[1] if read.values.ndim == 2 else None
    ticks = observations(read.values, read.timestamps_ns)
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
