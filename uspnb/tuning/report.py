"""The report of a campaign, section by section, as text for a terminal and as one HTML page that needs no network."""

from __future__ import annotations

import collections
import html
import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..config.load import parse_config
from ..config.schema import DECLARATIONS
from ..errors import DomainError
from ..plots.report_file import checked_theme, drawn, page_html
from ..plots.report_tables import html_pairs, html_table
from ..runtime.words import change, counted, duration, number, one_line, probability, setting
from .metrics import METRICS
from .result import OptimizationResult, share_text

MOST_CELLS = 40
MOST_REASONS = 12
# reasons that differ in their numbers alone are one
NUMBER = re.compile(r"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?")
SHARES = (0.25, 0.5, 0.75, 1.0)
WIDTH = 96
GAP = "  "
# small figures side by side scroll on a telephone, by keyboard too
FIGURE = "<div style='margin-top:16px;overflow-x:auto' tabindex='0' role='group' aria-label='figure'>{}</div>"


class Table(NamedTuple):
    """Named columns and rows of texts; in a `numeric` one all columns but the first hold numbers."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: bool = True


class Code(NamedTuple):
    """Lines to copy into a cell or a shell."""

    lines: tuple[str, ...]


Block = str | dict[str, str] | Table | Code


class Section(NamedTuple):
    """A heading, the blocks below it, and the names of its figures on the page."""

    title: str
    blocks: list[Block]
    figures: tuple[str, ...] = ()


class Campaign(NamedTuple):
    """A campaign's results as the sections read them.

    Attributes:
        ds: the results, their trials in the order of their numbers.
        result: what was found.
        complete: which trials are complete and have a value.
        best, default: rows of the best complete trial and of the default's, None where there is no such.
    """

    ds: xr.Dataset
    result: OptimizationResult
    complete: np.ndarray
    best: int | None
    default: int | None


def read_campaign(ds: xr.Dataset, result: OptimizationResult) -> Campaign:
    """The results and what was found in them.

    Raises:
        DomainError: not the results of a campaign, or of another one than the result's.
    """
    for name in ("trial", "value", "state", "reason", "best_value"):
        if name not in ds.variables:
            raise DomainError(f"the Dataset has no variable {name!r}; pass the `results` of an optimizer")
    study = str(ds.attrs.get("study_name", result.study_name))
    if study != result.study_name:
        raise DomainError(f"the results are of the campaign {study!r}, the result is of {result.study_name!r}")
    ds = ds.sortby("trial")
    value = ds["value"].values.astype(np.float64)
    complete = (ds["state"].values.astype(str) == "complete") & np.isfinite(value)
    best = int(np.where(complete, value, np.inf).argmin()) if complete.any() else None
    at = np.flatnonzero(ds["trial"].values == int(ds.attrs.get("default_trial", 0)))
    return Campaign(ds, result, complete, best, int(at[0]) if len(at) else None)


def sections(campaign: Campaign) -> list[Section]:
    """Everything that the report says, in its order."""
    return [
        _about(campaign),
        _parameters(campaign),
        _held_out(campaign),
        _recommended(campaign),
        _importance(campaign),
        _convergence(campaign),
        _failures(campaign),
        _applying(campaign),
    ]


def verdict(campaign: Campaign) -> str:
    """The campaign in one sentence."""
    result, metric = campaign.result, _metric(campaign)
    if campaign.best is None:
        return f"None of {counted(result.total_iterations, 'trial')} is complete: there is nothing to apply."
    best = f"{metric} {number(result.best_objective)}"
    if math.isnan(result.default_objective):
        return f"The best of {counted(result.total_iterations, 'trial')} has {best}; the default's value is not known."
    if not result.best_objective < result.default_objective:
        return f"No trial of {result.total_iterations} was better than the default configuration, which has {best}."
    tested = "" if result.p_value is None else f" (p = {probability(result.p_value)})"
    where = " on the same folds" if _folded(campaign.ds) else ""
    share = "" if math.isnan(result.improvement) else f": {share_text(result.improvement)}{where}{tested}"
    default = number(result.default_objective)
    return f"The best trial has {best} against {default} of the default configuration{share}."


def _about(campaign: Campaign) -> Section:
    ds, result, metric = campaign.ds, campaign.result, _metric(campaign)
    states = collections.Counter(ds["state"].values.astype(str).tolist())
    counts = [f"{states[name]} {name}" for name in ("complete", "pruned", "failed", "running") if states[name]]
    title = METRICS[metric].title if metric in METRICS else ""
    pairs = {
        "name": one_line(result.study_name),
        "tier": result.tier,
        "metric": f"{metric} ({title}){_ahead(ds)}, lower is better" if title else f"{metric}, lower is better",
        "trials": f"{ds.sizes['trial']}: {', '.join(counts)}" if counts else "none",
        "ended": f"{result.timestamp_utc}{', stopped early by patience' if result.early_stopped else ''}",
        "time in trials": duration(result.seconds),
    }
    ticks = ds.attrs.get("ticks")
    if ticks is not None:
        pairs["cost"] = f"{int(ticks):,} ticks replayed for each complete trial"
    if _folded(ds):
        names = [one_line(name) for name in ds["series"].values]
        pairs["folds"] = f"{ds.sizes['fold']} of each of {counted(len(names), 'series', '')}: {', '.join(names)}"
    pairs["started from"] = f"configuration {result.base_hash[:12]} (SHA-256)" if result.base_hash else "not recorded"
    return Section("Campaign", [pairs])


def _parameters(campaign: Campaign) -> Section:
    title, result = "Best parameters against the defaults", campaign.result
    if not result.best_params:
        return Section(title, ["No trial is complete, so that no parameters are the best."])
    return Section(title, [_against_defaults(campaign, result.best_params, "best")], ("parallel", "slice"))


def _against_defaults(campaign: Campaign, params: Mapping[str, Any], heading: str) -> Table:
    rows = []
    for name in _by_importance(campaign.ds, list(params)):
        value, default = params[name], _default_of(campaign, name, params[name])
        rows.append((one_line(name), setting(default), setting(value), change(default, value)))
    return Table(("parameter", "default", heading, "change"), rows)


def _held_out(campaign: Campaign) -> Section:
    metric, result = _metric(campaign), campaign.result
    title = f"{metric} on the held-out folds" if _folded(campaign.ds) else f"{metric} of the best and of the default"
    cells = _cells(campaign)
    blocks: list[Block] = []
    if not _folded(campaign.ds):
        blocks.append(f"Default {number(result.default_objective)}, best {number(result.best_objective)}.")
    elif cells is not None and np.isfinite(cells).all(axis=0).any():
        blocks += [Table(("", "default", "best", "change"), _fold_rows(campaign, cells)), _folds_won(cells)]
    else:
        blocks.append("The folds of the best and of the default's trial cannot be compared: one of them is not known.")
    if not math.isnan(result.improvement):
        blocks.append(f"Improvement over the default configuration: {share_text(result.improvement)}.")
    blocks += [_tested(result), _biased(result)]
    return Section(title, blocks, ("forecasts",))


def _recommended(campaign: Campaign) -> Section:
    title, result = "Recommended", campaign.result
    if not result.recommendation:
        return Section(title, ["Nothing was examined beside the best trial."])
    sentence = f"{result.recommendation[:1].upper()}{result.recommendation[1:]}."
    if not result.recommended_params:
        return Section(title, [sentence])
    return Section(title, [sentence, _against_defaults(campaign, result.recommended_params, "recommended")])


def _folded(ds: xr.Dataset) -> bool:
    """Whether the objective has values by fold and series; a user's own has only one."""
    return "fold_value" in ds and ds.sizes["fold"] * ds.sizes["series"] > 1


def _tested(result: OptimizationResult) -> str:
    if result.p_value is None:
        return "There is no paired test of the two: the objective has no losses of single ticks, or they do not differ."
    return (
        "Paired, one-sided test of the two configurations' losses tick by tick on the same folds (Diebold-Mariano): "
        f"p = {probability(result.p_value)}. Were both equally good, chance alone would let the best one lead by at "
        f"least this much in {result.p_value:.1%} of such comparisons."
    )


def _biased(result: OptimizationResult) -> str:
    return (
        f"Caution: the best of {counted(result.total_iterations, 'trial')} was picked by its value on these very "
        "data, so that the improvement and p flatter it (selection). What the settings are worth is told by a stretch "
        "of the series that no trial has seen: backtest both configurations there."
    )


def _fold_rows(campaign: Campaign, cells: np.ndarray) -> list[tuple[str, ...]]:
    """One row per fold and series (per fold, averaged over series, where those are many), then mean and spread."""
    folds, names = campaign.ds["fold"].values, [one_line(name) for name in campaign.ds["series"].values]
    if cells[0].size > MOST_CELLS:
        finite = np.isfinite(cells).all(axis=0)
        count = finite.sum(axis=1)
        means = np.where(finite, cells, 0.0).sum(axis=2) / np.maximum(count, 1)
        cells = np.where(count > 0, means, np.nan)[:, :, None]
        names = [f"mean of {len(names)} series"]
    folded = [
        (f"fold {fold}{f', {name}' if campaign.ds.sizes['series'] > 1 else ''}", *_compared(*cells[::-1, i, j]))
        for i, fold in enumerate(folds)
        for j, name in enumerate(names)
    ]
    best, default = cells[:, np.isfinite(cells).all(axis=0)]
    spread = [("standard deviation", *(number(v.std(ddof=1)) for v in (default, best)), "")] if len(best) > 1 else []
    ends = [(name, number(f(default)), number(f(best)), "") for name, f in (("least", np.min), ("largest", np.max))]
    return [("mean", *_compared(default.mean(), best.mean())), *spread, *ends, *folded]


def _compared(default: float, best: float) -> tuple[str, str, str]:
    return number(default), number(best), change(float(default), float(best))


def _cells(campaign: Campaign) -> np.ndarray | None:
    """Values of the best and of the default's trial by fold and series: (2, fold, series)."""
    if campaign.best is None or campaign.default is None or "fold_value" not in campaign.ds:
        return None
    values = campaign.ds["fold_value"].transpose("trial", "fold", "series").values
    return values[[campaign.best, campaign.default]].astype(np.float64)


def _folds_won(cells: np.ndarray) -> str:
    best, default = cells[:, np.isfinite(cells).all(axis=0)]
    of = counted(len(best), "fold") if cells.shape[2] == 1 else f"{len(best)} pairs of fold and series"
    return f"The best trial is better on {int((best < default).sum())} of {of}."


def _importance(campaign: Campaign) -> Section:
    ds, title = campaign.ds, "Importance of the parameters"
    shares = ds["importance"].values.astype(np.float64) if "importance" in ds else np.array([])
    finite = np.flatnonzero(np.isfinite(shares))
    if not len(finite):
        note = one_line(ds.attrs.get("importance_note", "")) or "the trials are too few or too much alike"
        return Section(title, [f"Not known: {note}."])
    names = [str(name) for name in ds["parameter"].values]
    order = finite[np.argsort(-shares[finite], kind="stable")]
    evaluator = one_line(ds.attrs.get("importance_evaluator", "")) or "an evaluator that was not recorded"
    sentence = f"Share of the differences between trials that each parameter accounts for, by {evaluator}."
    rows = [(one_line(names[i]), f"{shares[i]:.1%}") for i in order]
    return Section(title, [sentence, Table(("parameter", "importance"), rows)], ("importance",))


def _convergence(campaign: Campaign) -> Section:
    ds, result, trials = campaign.ds, campaign.result, campaign.ds.sizes["trial"]
    if campaign.best is None:
        return Section("Convergence", ["No trial is complete."], ("history",))
    best = ds["best_value"].values.astype(np.float64)
    default = result.default_objective
    rows = []
    for share in SHARES:
        at = max(math.ceil(share * trials), 1)
        gain = change(default, best[at - 1]) if math.isfinite(default) else "not known"
        rows.append((f"{share:.0%} ({counted(at, 'trial')})", number(best[at - 1]), gain))
    since = trials - 1 - campaign.best
    blocks: list[Block] = [
        Table(("after", "best value", "against default"), rows),
        f"The best one is trial {int(ds['trial'].values[campaign.best])}; {counted(since, 'trial')} came after it.",
    ]
    if math.isfinite(result.convergence_delta):
        blocks.append(f"Over the last trials the best value fell by {number(result.convergence_delta)}.")
    return Section("Convergence", blocks, ("history",))


def _failures(campaign: Campaign) -> Section:
    states, reasons = campaign.ds["state"].values.astype(str).tolist(), campaign.ds["reason"].values
    alike: dict[tuple[str, str], list[str]] = {}
    for state, reason in zip(states, reasons, strict=True):
        if state in ("failed", "pruned"):
            text = one_line(reason) or "no reason recorded"
            alike.setdefault((state, NUMBER.sub("#", text)), []).append(text)
    if not alike:
        return Section("Failed and pruned trials", ["Every trial was evaluated to its end."])
    groups = sorted(alike.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1]))
    rows = [
        (str(len(texts)), state, texts[0] + (" (and with other numbers)" if len(set(texts)) > 1 else ""))
        for (state, _), texts in groups[:MOST_REASONS]
    ]
    blocks: list[Block] = [Table(("trials", "state", "reason"), rows, numeric=False)]
    left = sum(len(texts) for _, texts in groups[MOST_REASONS:])
    if left:
        blocks.append(f"{counted(left, 'further trial')} ended for other reasons.")
    return Section("Failed and pruned trials", blocks)


def _applying(campaign: Campaign) -> Section:
    title, params = "Applying and undoing", campaign.result.best_params
    if not params:
        return Section(title, ["There is nothing to apply."])
    if not set(params) <= set(DECLARATIONS):
        sentence = "The campaign's own objective has parameters of its own; read them from `result.best_params`."
        return Section(title, [sentence])
    export = 'result.export_to_toml("config.toml"'
    applying = Code((f"{export})", f"{export}, override_limit=True)   # if a value moves by over 50 %"))
    undoing = Code(("from uspnb.config.mutation import rollback", 'rollback("config.toml")'))
    trying = Code(("config = result.to_config()", "ds = uspnb.backtest(series, config)"))
    stays = bool(campaign.result.recommendation) and not campaign.result.recommended_params
    first = 'The settings in force should stay; `which="best"` applies the best trial all the same. ' if stays else ""
    which = "what is recommended" if campaign.result.recommendation and not stays else "all of them"
    sentence = f"{first}Write {which} to the file, which is copied first; the audit log gets a line:"
    blocks: list[Block] = [sentence, applying]
    blocks += ["Undo that:", undoing, "The same in a shell:", Code(("uspnb config history", "uspnb config rollback"))]
    return Section(title, [*blocks, "Try the settings without any file:", trying])


def _by_importance(ds: xr.Dataset, names: list[str]) -> list[str]:
    """The important ones first, then by name."""
    shares: dict[str, float] = {}
    if "importance" in ds:
        shares = dict(zip(ds["parameter"].values.astype(str).tolist(), ds["importance"].values.tolist(), strict=True))
    finite = {name: share for name, share in shares.items() if math.isfinite(share)}
    return sorted(names, key=lambda name: (-finite.get(name, -1.0), name))


def _default_of(campaign: Campaign, name: str, best: Any) -> Any:
    """The default's value, None where it is not known."""
    ds = campaign.ds
    if "default" in ds and name in ds["parameter"].values.astype(str).tolist():
        value = float(ds["default"].sel(parameter=name))
        if math.isfinite(value):
            return int(value) if isinstance(best, int) and not isinstance(best, bool) and value.is_integer() else value
    if campaign.default is not None and f"param_{name}" in ds and ds[f"param_{name}"].dtype.kind not in "biuf":
        return str(ds[f"param_{name}"].values[campaign.default])
    if name in DECLARATIONS and ds.attrs.get("config"):
        return getattr(parse_config(str(ds.attrs["config"]), source="the configuration stored in the results"), name)
    return None


def _metric(campaign: Campaign) -> str:
    return one_line(campaign.result.metric or campaign.ds.attrs.get("metric", "")) or "objective"


def _ahead(ds: xr.Dataset) -> str:
    """How far ahead the forecasts were that count; "" of the next tick."""
    ahead = int(ds.attrs.get("ahead", 1))
    return f" {ahead} ticks ahead" if ahead > 1 else ""


def text_report(ds: xr.Dataset, result: OptimizationResult) -> str:
    """The report as text of fewer than 100 columns.

    It tells the campaign, the best parameters against the defaults, the objective on the held-out folds with its
    spread, the importance of the parameters, the convergence, what failed, and how to apply and to undo the result.

    Args:
        ds: the `results` of the optimizer.
        result: what it found.

    Raises:
        DomainError: not the results of a campaign, or of another one than the result's.
    """
    campaign = read_campaign(ds, result)
    title = _wrapped(f"Tuning campaign {one_line(result.study_name)}")
    parts = [title, "=" * min(len(title), WIDTH), _wrapped(verdict(campaign))]
    for section in sections(campaign):
        parts += ["", section.title, "-" * len(section.title)]
        for block, following in zip(section.blocks, [*section.blocks[1:], None], strict=True):
            parts += [_text_of(block)] + [""] * (isinstance(block, Table) and following is not None)
    return "\n".join(parts) + "\n"


def html_report(
    ds: xr.Dataset,
    result: OptimizationResult,
    theme: str = "auto",
    *,
    forecasts: tuple[xr.Dataset, xr.Dataset] | None = None,
) -> str:
    """The report as one HTML page with figures; it needs no network.

    Args:
        ds: the `results` of the optimizer.
        result: what it found.
        theme: "light", "dark", or "auto" to follow the reader's setting.
        forecasts: results of `backtest` of one series with the best and with the default configuration, to be shown
            against one another; None leaves that figure out.

    Raises:
        DomainError: an unknown theme, not the results of a campaign or of another one, two backtests of different
            series.
    """
    checked_theme(theme)
    campaign = read_campaign(ds, result)
    drawing, places = drawn(_figures(ds, "dark" if theme == "dark" else "light", forecasts))
    body = "".join(_html_of(section, places) for section in sections(campaign))
    return page_html(f"Tuning campaign {one_line(result.study_name)}", verdict(campaign), body, drawing, theme)


def _figures(ds: xr.Dataset, theme: str, forecasts: tuple[xr.Dataset, xr.Dataset] | None) -> dict[str, Any]:
    """The figures by the names that sections know them by, as Bokeh objects."""
    # the drawing libraries take seconds to import; a report in text does not wait for them
    import holoviews as hv

    from .. import plots

    figures = {
        "history": plots.tuning_history(ds, theme),
        "importance": plots.tuning_importance(ds, theme),
        "parallel": plots.tuning_parallel(ds, theme),
        "slice": plots.tuning_slice(ds, theme=theme),
    }
    if forecasts is not None:
        figures["forecasts"] = plots.best_against_default(*forecasts, theme)
    return {name: hv.render(figure, backend="bokeh") for name, figure in figures.items()}


def _html_of(section: Section, places: dict[str, str]) -> str:
    figures = [FIGURE.format(places[name]) for name in section.figures if name in places]
    blocks = [_html_block(block) for block in section.blocks]
    return f"<h2>{html.escape(section.title)}</h2>\n" + "\n".join(blocks + figures) + "\n"


def _html_block(block: Block) -> str:
    if isinstance(block, Table):
        return html_table(pd.DataFrame(block.rows, columns=list(block.columns)), numeric=block.numeric)
    if isinstance(block, Code):
        return f"<pre tabindex='0'>{html.escape(chr(10).join(block.lines))}</pre>"
    if isinstance(block, dict):
        return html_pairs(block)
    return f"<p>{html.escape(block)}</p>"


def _text_of(block: Block) -> str:
    if isinstance(block, Table):
        return _text_table(block)
    if isinstance(block, Code):
        return "\n".join(f"    {line}" for line in block.lines)
    if isinstance(block, dict):
        return _columns([(name, text) for name, text in block.items()], [False, False])
    return _wrapped(block)


def _text_table(table: Table) -> str:
    right = [table.numeric and place > 0 for place in range(len(table.columns))]
    return _columns([table.columns, *table.rows], right, ruled=True)


def _columns(rows: list[tuple[str, ...]], right: list[bool], ruled: bool = False) -> str:
    """Aligned columns; the widest one is wrapped where a row would be too long."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widest = widths.index(max(widths))
    widths[widest] = min(widths[widest], WIDTH - sum(widths) + widths[widest] - len(GAP) * (len(widths) - 1))
    lines = []
    for place, row in enumerate(rows):
        cells = [textwrap.wrap(cell, max(widths[i], 8)) or [""] for i, cell in enumerate(row)]
        for k in range(max(map(len, cells))):
            texts = [cell[k] if k < len(cell) else "" for cell in cells]
            pairs = zip(texts, widths, right, strict=True)
            lines.append(GAP.join(t.rjust(w) if r else t.ljust(w) for t, w, r in pairs).rstrip())
        if ruled and not place:
            lines.append(GAP.join("-" * width for width in widths))
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH)
