"""The tune app: choose a series, a tier and a metric, run a campaign, and take its best along.

Campaigns are shared by the pages of a server and stay on disk; they go on while nobody looks.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import threading
import time
from pathlib import Path
from typing import Any

import panel as pn

from uspnb import runtime
from uspnb.config.meta_optimization import MetaOptimizationConfig, load_meta_optimization_config
from uspnb.config.schema import PredictorConfig
from uspnb.data.csv import read_csv
from uspnb.data.samples import demo_series
from uspnb.data.series import Series, read_series
from uspnb.errors import DomainError, UspnbError
from uspnb.predictor.results import load
from uspnb.sources.opening import ARCHIVES, DEMONSTRATION, TABLES
from uspnb.tuning.background import AsyncMetaOptimizer
from uspnb.tuning.metrics import METRICS
from uspnb.tuning.objective import WalkForwardObjective
from uspnb.tuning.space import TIERS, tier_space

from ..page_views import TuningPane
from ..tuning_applying import Place
from .choices import SEA, find_choice
from .opening import Opening, style_widget
from .page import WIDE, AppPage, page, schedule
from .site import Site

VIEW_HEIGHT = 640
#: how much of a series a campaign reads, by its title [ticks]; 0 is all
AMOUNTS = {f"newest {ticks:,}": ticks for ticks in (1_000, 2_000, 5_000, 10_000)} | {"all of them": 0}
USUAL_TICKS = 5_000
#: what can be minimised, by its title; what needs labelled changes is left to notebooks
TITLES = {f"{metric.title[0].upper()}{metric.title[1:]} ({name})": name for name, metric in METRICS.items()}
_LEAD = "Which settings predict this series best, on ticks they have not seen."
MOST_RUNNING = 2
MOST_OPEN = 8
LONGEST_NAME = 40
CLOSING_S = 30.0
ACTIVE = ("running", "paused")
_logger = logging.getLogger("uspnb.serve")


class Campaigns:
    """Campaigns by what they tune on; the same wish of two visitors is one campaign.

    Args:
        config: the settings that candidates change.
        meta: how campaigns run, and where they are kept.
    """

    def __init__(self, config: PredictorConfig, meta: MetaOptimizationConfig) -> None:
        self._config, self.meta = config, meta
        self._lock = threading.RLock()
        self._open: dict[str, AsyncMetaOptimizer] = {}
        self._pages: dict[str, int] = {}

    def enter(self, series: Series, title: str, tier: str, metric: str) -> tuple[str, AsyncMetaOptimizer]:
        """The campaign of a wish, opened where it is not; it takes a moment, and longer where it has many trials.

        Args:
            series: what to tune on.
            title: what it is called.
            tier: "fast" or "deep".
            metric: one of the metrics' names.

        Returns:
            The campaign's name, for `leave`, and the campaign.

        Raises:
            DomainError: the series cannot be tuned on, or the storage cannot be opened.
            IntegrityError: the storage is damaged.
        """
        runtime.enable_compilation_cache()
        meta = self.meta
        objective = WalkForwardObjective(
            series,
            metric,
            n_folds=meta.n_folds,
            train_ratio=meta.train_ratio,
            max_memory=meta.max_memory or None,
            base_config=self._config,
        )
        name = campaign_name(title, tier, metric, objective.fingerprint)
        with self._lock:
            if name not in self._open:
                self._make_room()
                self._open[name] = AsyncMetaOptimizer(
                    objective=objective, study_name=name, tier=tier, meta_config=meta, base_config=self._config
                )
            self._pages[name] = self._pages.get(name, 0) + 1
            return name, self._open[name]

    def leave(self, name: str) -> None:
        """A page looks at this campaign no more; it goes on."""
        with self._lock:
            self._pages[name] = max(0, self._pages.get(name, 0) - 1)

    def check_room(self, name: str) -> None:
        """Refuse to start one more campaign where as many run as this machine is meant to bear.

        Raises:
            DomainError: names those that run.
        """
        with self._lock:
            busy = [other for other, one in self._open.items() if other != name and one.status().state == "running"]
        if len(busy) >= MOST_RUNNING:
            raise DomainError(
                f"{len(busy)} campaigns are running on this server ({', '.join(busy)}); stop or pause one of them first"
            )

    def close(self) -> None:
        """The server ends: every campaign ends after its batch, and goes on from its storage when it is opened again.

        A thread that is compiling cannot be ended with the process but by an abort, so that it is waited for.
        """
        with self._lock:
            for one in self._open.values():
                one.stop()
            busy = [name for name, one in self._open.items() if not one.wait(0.0)]
            if busy:
                _logger.warning("ending after the running batch of %s; Ctrl-C ends at once", ", ".join(busy))
            until = time.monotonic() + CLOSING_S
            for one in self._open.values():
                one.wait(max(0.0, until - time.monotonic()))
                one.shutdown(wait=False)
            self._open.clear()

    def _make_room(self) -> None:
        """Let go of campaigns that rest and that nobody looks at, the oldest first."""
        left = [name for name in self._open if not self._pages.get(name)]
        idle = [name for name in left if self._open[name].status().state not in ACTIVE]
        for name in idle[: max(0, len(self._open) + 1 - MOST_OPEN)]:
            self._open.pop(name).shutdown(wait=False)
            self._pages.pop(name, None)


class TunePage(AppPage):
    """The campaign that a visitor looks at, which other pages may look at too."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.campaigns: Campaigns = site.hold("tune", lambda: Campaigns(site.config, meta_settings(site.config_path)))
        self._series: Series | None = None
        self._title, self._name, self._wishes = "", "", 0
        tiers = {f"{tier}: {len(tier_space(tier, self.campaigns.meta))} parameters": tier for tier in TIERS}
        self.tier = style_widget(pn.widgets.Select, name="Tier", options=tiers, width=180)
        self.metric = style_widget(pn.widgets.Select, name="Metric", options=TITLES, width=280)
        self.ticks = style_widget(pn.widgets.Select, name="Ticks", options=AMOUNTS, value=USUAL_TICKS, width=180)
        self.opening = Opening(self, "Tune on this column")
        self._place = pn.Column(**WIDE, min_height=VIEW_HEIGHT)
        for chooser in (self.tier, self.metric, self.ticks):
            chooser.param.watch(lambda event: self._wish(), "value")

    def template(self) -> pn.Template:
        """The page."""
        choosers = pn.FlexBox(self.tier, self.metric, self.ticks, align_items="end", gap="10px 6px", **WIDE)
        bar: Any = choosers
        if not self._has_source:
            choosers.margin = (10, 0, 0, 0)
            bar = pn.Column(self.opening.layout, choosers, **WIDE)
        return page("tune", "Tune", _LEAD, self.theme, bar=bar, main=pn.Column(self.notice, self._place, **WIDE))

    @property
    def _has_source(self) -> bool:
        return self.site.app == "tune" and self.site.source is not None

    def start(self) -> None:
        """Tune on the server's source, or on a series that the visitor may change for another."""
        if self._has_source and not self._closed:
            self.guard(lambda: self.open(*read_whole_series(self.site.source, self.site.source_options)))
        elif not self._closed:
            self.opening.open_first()

    def close(self) -> None:
        """The visitor has left; the campaign goes on."""
        super().close()
        self._leave()
        self.opening.close()

    def open(self, series: Any, title: str) -> None:
        """Tune on a series in place of what is shown."""
        self._series, self._title = series, title
        self._wish("; ".join(getattr(series, "notes", ())))

    def _wish(self, note: str = "") -> None:
        """Open the campaign of what is find_choice, aside: reading many trials takes a second."""
        if self._series is None or self._closed:
            return
        self._wishes += 1
        wish, series, title = self._wishes, take_newest(self._series, self.ticks.value), self._title
        tier, metric = self.tier.value, self.metric.value
        self.notice.tell(f"Opening the campaign on {title}.")

        def work() -> None:
            try:
                name, campaign = self.campaigns.enter(series, title, tier, metric)
            except (UspnbError, OSError) as error:
                reason = str(error)
                schedule(self._document, lambda: self._refused(wish, reason))
                return
            if self._closed or wish != self._wishes:
                self.campaigns.leave(name)
            else:
                schedule(self._document, lambda: self._arrived(wish, name, campaign, note))

        threading.Thread(target=work, name="uspnb-page-tune", daemon=True).start()

    def _refused(self, wish: int, reason: str) -> None:
        if wish == self._wishes:
            self._leave()
            self.notice.refuse(reason)

    def _arrived(self, wish: int, name: str, campaign: Any, note: str) -> None:
        if self._closed or wish != self._wishes:
            self.campaigns.leave(name)
            return
        self._leave()
        self._name = name
        path = self.site.config_path
        self.view = TuningPane(
            campaign,
            Place("download") if path is None else Place("fixed", path),
            theme=self.theme.value,
            may_start=lambda: self.campaigns.check_room(name),
        )
        self._place.objects = [self.view]
        self.notice.tell(note)

    def _leave(self) -> None:
        if self.view is not None:
            self.view.close()
            self.campaigns.leave(self._name)
        self.view = None
        self._place.objects = []


def campaign_name(title: str, tier: str, metric: str, fingerprint: str) -> str:
    """A name that says what is tuned, and that other data of the same title cannot have."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(title).stem).strip("-").lower()[:LONGEST_NAME].strip("-")
    return f"{stem or 'series'}-{tier}-{metric}-{fingerprint[:8]}"


def take_newest(series: Series, ticks: int) -> Series:
    """The last ticks of a series, all of them at 0."""
    if not ticks or ticks >= len(series):
        return series
    parts = {name: getattr(series, name)[-ticks:] for name in ("values", "timestamps_ns", "time_coordinate")}
    return dataclasses.replace(series, **parts)


def read_whole_series(source: Any, options: dict[str, Any]) -> tuple[Series, str]:
    """What a server was told to tune on, and what it is called.

    Args:
        source: None for the sample series; "sea" or another choice of the pages; the path of a CSV file or of a saved
            run; or anything that `read_series` takes.
        options: `time` and `value`, the columns of a CSV file.

    Raises:
        DomainError: nothing that has all its ticks now, or a file that cannot be read.
    """
    if source is None or (isinstance(source, str) and source in DEMONSTRATION):
        return demo_series(), find_choice(SEA).title
    if not isinstance(source, (str, Path)):
        series = read_series(source)
        return series, series.name or "series"
    path = Path(source).expanduser()
    if options.get("follow"):
        raise DomainError("a campaign needs all ticks at once, so that a file cannot be followed; leave out --follow")
    if path.suffix.lower() in TABLES:
        return read_csv(path, options.get("time"), options.get("value")), path.name
    if path.suffix.lower() in ARCHIVES:
        return read_series(load(path)["observation"]), path.name
    raise DomainError(f"{str(source)!r} cannot be tuned on; give a CSV file, a saved run (.nc, .zarr) or {SEA!r}")


def meta_settings(path: Path | None) -> MetaOptimizationConfig:
    """How campaigns run: section `[meta_optimization]` of the server's configuration file, if it has one.

    Raises:
        ConfigError: the section is refused.
    """
    return MetaOptimizationConfig() if path is None else load_meta_optimization_config(path)
