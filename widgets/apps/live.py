"""The live app: choose a series or bring one, watch it being predicted, and control the run."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn

from uspnb.config.schema import DEFAULTS
from uspnb.engine.session import Session
from uspnb.errors import DomainError, UspnbError

from ..page_views import LivePane
from .downloads import KINDS, Downloads
from .opening import Opening
from .page import WIDE, Alarms, AppPage, Badges, Keeping, Sensitivity, Transport, page, schedule
from .site import Site
from .wording import SPEEDS, alarm_rows, setting_rows, status_words

SPEED = 100.0
REFRESH_MS = 250
VIEW_HEIGHT = 600
_LEAD = "What is predicted, which view of the process carries it, and when the process changed."


class LivePage(AppPage):
    """The session that a visitor looks at, the view of it, and the controls.

    A page owns its session, and closes it with itself, unless the server reads a live source; that one is shared.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.session: Session | None = None
        self._title = ""
        self._shown: dict[str, Any] = {}
        self._downloads = Downloads()
        self.badges = Badges(margin=(0, 0, 10, 0))
        self.transport = Transport(self._act, speeds=SPEEDS)
        self.alarms = Alarms(self._act)
        self.sensitivity = Sensitivity(self._act)
        self.keeping = Keeping(self._act, formats=list(KINDS.items()))
        self._place = pn.Column(**WIDE, min_height=VIEW_HEIGHT)
        self._settings_place = pn.Column(**WIDE)
        self.opening = Opening(self)

    def template(self) -> pn.Template:
        """The page."""
        chooses = self.site.shared is None and self.site.source is None
        side = [self.transport, self.alarms, self.keeping]
        for part in side[1:]:
            part.margin = (12, 0, 0, 0)
        return page(
            "live",
            "Live",
            _LEAD,
            self.theme,
            bar=self.opening.layout if chooses else None,
            main=pn.Column(self.notice, self.badges, self._place, **WIDE),
            side=pn.Column(*side, **WIDE),
            foot=self._settings_place,
        )

    def start(self) -> None:
        """Show the server's source, or a series that the visitor may change for another."""
        if self._closed:
            return
        if self.site.shared is not None:
            self._show(self.site.shared)
        elif self.site.source is not None:
            self.guard(lambda: self._show(self.site.own_session(speed=SPEED)))
        else:
            self.opening.open_first()
        pn.state.add_periodic_callback(self.refresh, period=REFRESH_MS)

    def open(self, series: Any, title: str) -> None:
        """Replay a series in place of what is shown.

        Raises:
            DomainError: it is no series.
        """
        session = self.site.own_session(series, title=title, speed=SPEED)
        self._title = title
        self._show(session)
        self.notice.tell("; ".join(getattr(series, "notes", ())))

    def _show(self, session: Session) -> None:
        self._leave()
        self.session = session
        self.view = LivePane(session, theme=self.theme.value, height=VIEW_HEIGHT, sizing_mode="stretch_width")
        self.view.on_command(self._on_view_command)
        self._place.objects = [self.view]
        self._shown = {}
        self.transport.param.update(seekable=session.seekable, paced=not session.live)
        self.sensitivity = Sensitivity(self._act, settings=setting_rows(session))
        self._settings_place.objects = [self.sensitivity]
        self.refresh()

    def _leave(self) -> None:
        """Let go of the session that is shown; one of our own ends, aside because its last chunk has to finish."""
        if self.view is not None:
            self.view.close()
        if self.session is not None and self.session is not self.site.shared:
            threading.Thread(target=self.session.close, name="uspnb-page-close").start()
        self.view = self.session = None

    def close(self) -> None:
        """The visitor has left."""
        super().close()
        self._leave()
        self.opening.close()
        self._downloads.close()

    def refresh(self) -> None:
        """Bring badges, alarms, settings and marks up to what the session says now."""
        session = self.session
        if session is None or self._closed:
            return
        self.badges.status = self.transport.status = status = status_words(session)
        alarms = (status["alarms"], status["revision"])
        if self._shown.get("alarms") != alarms:
            self._shown["alarms"] = alarms
            self.alarms.param.update(rows=alarm_rows(session), total=status["alarms"])
        if self._shown.get("config") is not session.config:
            self._shown["config"] = session.config
            values = {setting.name: setting.value for setting in session.settings}
            self.sensitivity.param.update(values=values, code=session.settings_code())
        marks = session.marks
        self.keeping.marks = [{"key": mark.label, "text": f"{mark.label} (tick {mark.tick:,})"} for mark in marks]

    def _on_view_command(self, name: str, value: Any = None) -> str:
        """The view's own buttons for an export and a snapshot; what is returned is shown in the view."""
        self._act({"act": {"export": "export", "snapshot": "mark"}[name], "value": value})
        return self.notice.text if self.notice.kind == "error" else self.keeping.outcome

    def _act(self, request: dict[str, Any]) -> None:
        """Do what the reader asked for, or say why not."""
        act, value = str(request.get("act", "")), request.get("value")
        acts: dict[str, Callable[[Any], None]] = {
            "look": self._look,
            "jump": self._look,
            "newest": lambda value: self._follow(),
            "seek": lambda value: self._running().command("seek", int(value)),
            "speed": lambda value: self._running().command("speed", float(value) if value else None),
            "mark": self._mark,
            "restore": lambda value: self._running().command("restore", str(value)),
            "export": self._export,
            "defaults": lambda value: self._reset(),
        }
        try:
            if act == "configure":
                self._configure({str(request.get("name")): value})
            elif act in acts:
                acts[act](value)
        except (UspnbError, ValueError, TypeError) as error:
            self.notice.refuse(str(error))
        else:
            if self.notice.kind == "error":
                self.notice.tell("")
        self.refresh()

    def _running(self) -> Session:
        if self.session is None:
            raise DomainError("no series is open; choose one first")
        return self.session

    def _look(self, tick: Any) -> None:
        if self.view is not None:
            self.view.jump(int(tick))

    def _follow(self) -> None:
        if self.view is not None:
            self.view.follow()

    def _mark(self, label: Any) -> None:
        mark = self._running().mark(str(label or "")[:40])
        self.keeping.outcome = f"Kept as {mark.label}."

    def _configure(self, changes: dict[str, Any]) -> None:
        session = self._running()
        try:
            if changes:
                session.configure(**{name: _number(session, name, value) for name, value in changes.items()})
        except UspnbError as error:
            self.sensitivity.param.update(wrong="")
            self.sensitivity.param.update(wrong=str(error))
            return
        self.sensitivity.wrong = ""

    def _reset(self) -> None:
        settings = self._running().settings
        self._configure({one.name: one.default for one in settings if one.value != one.default})

    def _export(self, kind: Any) -> None:
        session, kind = self._running(), str(kind or ".nc")
        if self.keeping.busy:
            raise DomainError("an export is being written already; wait for it")
        self.keeping.param.update(busy=True, outcome="Writing the export...")
        arguments = (session, kind, _file_stem(self._title or session.title))
        threading.Thread(target=self._write_export, args=arguments, name="uspnb-page-export").start()

    def _write_export(self, session: Session, kind: str, stem: str) -> None:
        try:
            download = self._downloads.write(session, kind, stem)
            outcome = f"{download['name']} is ready."
        except (UspnbError, OSError) as error:
            download, outcome = {}, f"The export failed: {error}"
        if not self._closed:
            news = {"busy": False, "outcome": outcome, "download": download}
            schedule(self._document, lambda: self.keeping.param.update(**news))


def _number(session: Session, name: str, value: Any) -> Any:
    """What the reader typed, as the number that the setting holds."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value.replace(",", ".") if value.count(",") == 1 and "." not in value else value)
    except ValueError:
        raise DomainError(f"{name} = {value!r} is not a number; write it like 0.5") from None
    whole = isinstance(DEFAULTS[name], int) and number.is_integer()
    return int(number) if whole else number


def _file_stem(title: str) -> str:
    """The title as the name of a file, wherever it will be saved."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(title).stem).strip("-.")[:60] or "uspnb-run"
