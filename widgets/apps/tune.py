"""The tune app: choose a series, a tier and a metric, run a campaign, and take its best along."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import panel as pn

from uspnb.data.series import Series
from uspnb.errors import UspnbError
from uspnb.tuning.metrics import METRICS
from uspnb.tuning.space import TIERS, tier_space

from ..page_views import TuningPane
from ..tuning_applying import Place
from .campaigns import Campaigns, meta_settings, newest, whole_series
from .choices import CHOICES, SEA, chosen
from .opening import Opening, styled
from .page import Notice, ThemeLink, page, soon
from .site import Site

VIEW_HEIGHT = 640
TICKS = (1_000, 2_000, 5_000, 10_000, 0)
USUAL_TICKS = 5_000
_LEAD = "Which settings predict this series best, on ticks they have not seen."
_WIDE = {"sizing_mode": "stretch_width", "margin": 0}
_shared: dict[int, Campaigns] = {}


def tune_page(site: Site) -> pn.Template:
    """The tune app for one visitor."""
    if id(site) not in _shared:
        _shared[id(site)] = shared = Campaigns(site.config, meta_settings(site.config_path))

        def end() -> None:
            _shared.pop(id(site), None)
            shared.close()

        site.on_close(end)
    made = TunePage(site, _shared[id(site)])
    site.on_page_end(made.close)
    pn.state.onload(made.start)
    return made.template()


class TunePage:
    """One visitor's page: the campaign it looks at, which other pages may look at too.

    Args:
        site: the server.
        campaigns: the campaigns of the server.
    """

    def __init__(self, site: Site, campaigns: Campaigns) -> None:
        self.site, self.campaigns = site, campaigns
        self.pane: TuningPane | None = None
        self._series: Series | None = None
        self._title, self._name = "", ""
        self._wishes, self._closed = 0, False
        self._document = pn.state.curdoc
        self.theme, self.notice = ThemeLink(), Notice()
        tiers = {f"{tier}: {len(tier_space(tier, campaigns.meta))} parameters": tier for tier in TIERS}
        self.tier = styled(pn.widgets.Select, name="Tier", options=tiers, width=180)
        self.metric = styled(pn.widgets.Select, name="Metric", options=metrics(), width=280)
        self.ticks = styled(pn.widgets.Select, name="Ticks", options=amounts(), value=USUAL_TICKS, width=180)
        self.opening = Opening(self._open_choice, self.open, self.notice, site.most_bytes, "Tune on this column")
        self._place = pn.Column(**_WIDE, min_height=VIEW_HEIGHT)
        self.theme.param.watch(lambda event: self._dress(), "value")
        for chooser in (self.tier, self.metric, self.ticks):
            chooser.param.watch(lambda event: self._wish(), "value")

    def template(self) -> pn.Template:
        """The page."""
        choosers = pn.FlexBox(self.tier, self.metric, self.ticks, align_items="end", gap="10px 6px", **_WIDE)
        parts = [choosers] if self._told_source else [self.opening.layout, choosers]
        bar = pn.Column(*parts, **_WIDE)
        if len(parts) > 1:
            choosers.margin = (10, 0, 0, 0)
        return page("tune", "Tune", _LEAD, self.theme, bar=bar, main=pn.Column(self.notice, self._place, **_WIDE))

    @property
    def _told_source(self) -> bool:
        return self.site.app == "tune" and self.site.source is not None

    def start(self) -> None:
        """Begin once the page stands in the browser."""
        if self._closed:
            return
        if self._told_source:
            self._guarded(lambda: self.open(*whole_series(self.site.source, self.site.source_options)))
            return
        wanted = (pn.state.session_args or {}).get("series", [SEA.encode()])[0].decode(errors="replace")
        self.opening.select(wanted if wanted in CHOICES else SEA)

    def close(self) -> None:
        """The visitor has left; the campaign goes on."""
        self._closed = True
        self._leave()
        self.opening.close()

    def open(self, series: Any, title: str) -> None:
        """Tune on a series in place of what is shown."""
        self._series, self._title = series, title
        self._wish("; ".join(getattr(series, "notes", ())))

    def _open_choice(self, key: str) -> None:
        choice = chosen(key)
        self.open(choice.make(), choice.title)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (UspnbError, OSError) as error:
            self.notice.refuse(str(error))

    def _wish(self, note: str = "") -> None:
        """Open the campaign of what is chosen, aside: reading many trials takes a second."""
        if self._series is None or self._closed:
            return
        self._wishes += 1
        wish, series, title = self._wishes, newest(self._series, self.ticks.value), self._title
        tier, metric = self.tier.value, self.metric.value
        told = f"Opening the campaign on {title}."
        self.notice.tell(told)

        def work() -> None:
            try:
                name, campaign = self.campaigns.enter(series, title, tier, metric)
            except (UspnbError, OSError) as error:
                reason = str(error)
                soon(self._document, lambda: self._refused(wish, reason))
                return
            if self._closed or wish != self._wishes:
                self.campaigns.leave(name)
            else:
                soon(self._document, lambda: self._arrived(wish, name, campaign, note))

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
        self.pane = TuningPane(
            campaign,
            Place("download") if path is None else Place("fixed", path),
            theme=self.theme.value,
            may_start=lambda: self.campaigns.check_room(name),
        )
        self._place.objects = [self.pane]
        self.notice.tell(note)

    def _leave(self) -> None:
        if self.pane is not None:
            self.pane.close()
            self.campaigns.leave(self._name)
        self.pane = None
        self._place.objects = []

    def _dress(self) -> None:
        if self.pane is not None:
            self.pane.theme = self.theme.value


def metrics() -> dict[str, str]:
    """What can be minimised, by its title; what needs labelled changes is left to notebooks."""
    return {f"{metric.title[0].upper()}{metric.title[1:]} ({name})": name for name, metric in METRICS.items()}


def amounts() -> dict[str, int]:
    """How much of a series a campaign reads."""
    return {f"newest {ticks:,}" if ticks else "all of them": ticks for ticks in TICKS}
