"""`Controls`: everything that a person does to a session, for a notebook; `Workbench`: the view and its controls.

`show` gives whatever can be shown its workbench or its monitor.
"""

from __future__ import annotations

import re
import threading
import weakref
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import FileLink

from uspnb.errors import UspnbError

from .front_end import style
from .link import Throttle
from .notebook_views import LiveView, TuningMonitor
from .notices import Notice, button, heading, row
from .settings_panel import SettingsPanel
from .transport import AlarmTable, Badges, Transport

if TYPE_CHECKING:
    from uspnb.engine.session import Session
    from uspnb.engine.status import Mark

REFRESH_S = 0.2
NO_MARK = (("no mark yet", ""),)
FORMATS = (("Zarr archive", ".zarr"), ("netCDF file", ".nc"), ("HTML report", ".html"))

_open: weakref.WeakValueDictionary[int, Workbench | TuningMonitor] = weakref.WeakValueDictionary()


class Marks(ipywidgets.VBox):
    """Marks in memory and snapshots on disk: make one, choose one, go back to it, after a restart of the kernel too."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown: tuple[Mark | Path, ...] = ()
        self._on_disk: tuple[Path, ...] = ()
        self.notice = Notice()
        self.label = ipywidgets.Text(
            "", placeholder="name (optional)", tooltip="Name of the next mark", layout=_wide_enough()
        )
        self.make = button("Mark", "Keep the session as it stands now, in memory", "bookmark", self.mark)
        where = f"Write the state to {session.snapshot_folder}, where it outlives this kernel"
        self.save = button("Snapshot", where, "save", self.snapshot)
        self.choice = ipywidgets.Dropdown(
            options=NO_MARK, tooltip="The mark or snapshot to restore", layout=_wide_enough()
        )
        self.restore = button("Restore", "Go back to the chosen mark or snapshot", "history", self._on_restore)
        self.restore.disabled = True
        super().__init__(
            [
                heading("Marks and snapshots"),
                row(self.label, self.make, self.save),
                row(self.choice, self.restore),
                self.notice,
            ]
        )
        self._list_files()
        self.refresh()

    def mark(self) -> None:
        """Keep a snapshot under the typed name."""
        if self.notice.attempt(self._session.mark, self.label.value.strip()):
            self.label.value = ""
            self.refresh()
            self.notice.say(f"marked: {self.choice.label}")

    def snapshot(self) -> None:
        """Have the state written to disk, without holding up the session or the kernel."""
        saving: list[Future[Any]] = []
        if self.notice.attempt(lambda: saving.append(self._session.save_snapshot_nonblocking())):
            self.notice.say("writing a snapshot ...")
            saving[0].add_done_callback(self._on_saved)

    def _on_saved(self, saving: Future[Any]) -> None:
        if saving.cancelled():
            self.notice.say("a newer snapshot is written instead")
        elif (problem := saving.exception()) is not None:
            self.notice.complain(f"no snapshot was written: {problem}")
        else:
            self._list_files()
            self.refresh()
            self.notice.say(f"written to {saving.result().path}")

    def _list_files(self) -> None:
        self._on_disk = tuple(reversed(self._session.snapshots()))

    def refresh(self) -> None:
        """List the marks that the session keeps and the snapshots on disk, the newest chosen when it is new."""
        marks = (*reversed(self._session.marks), *self._on_disk)
        if marks == self._shown:
            return
        chosen = self.choice.value if len(marks) == len(self._shown) else None
        self._shown = marks
        self.choice.options = [(_called(mark), mark) for mark in marks] or NO_MARK
        self.choice.value = chosen if chosen in marks else self.choice.options[0][1]
        self.restore.disabled = not marks

    def _on_restore(self) -> None:
        mark = self.choice.value
        if mark not in self._shown:
            return
        go_back = self._session.load_snapshot if isinstance(mark, Path) else self._session.restore
        if self.notice.attempt(go_back, mark):
            self.notice.say(f"back at {self.choice.label}")


class Export(ipywidgets.VBox):
    """Writes the session to a Zarr archive, a netCDF file or an HTML page, without holding up the kernel."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.notice = Notice()
        self.kind = ipywidgets.Dropdown(options=FORMATS, tooltip="Format of the export", layout=_wide_enough())
        stem = re.sub(r"\W+", "-", session.title or "").strip("-").lower() or "session"
        self.path = ipywidgets.Text(
            f"{stem}.zarr", tooltip="Where to write, relative to the notebook's folder", layout=_wide_enough()
        )
        self.write = button("Export", "Write every tick so far to this file", "download", self.export)
        self.link = ipywidgets.Output()
        self.kind.observe(self._on_kind, "value")
        super().__init__([heading("Export"), row(self.kind, self.path, self.write), self.notice, self.link])

    def export(self) -> None:
        """Start writing to the path that is typed; the notice says how it ended."""
        if self.write.disabled:
            return
        target = Path(self.path.value.strip())
        self.write.disabled = True
        self.link.outputs = ()
        self.notice.say(f"writing {target} ...")
        threading.Thread(target=self._export, args=(target,), name="uspnb-export", daemon=True).start()

    def _export(self, target: Path) -> None:
        try:
            written = Path(self._session.export(target))
        except (UspnbError, OSError, ValueError) as error:
            self.notice.complain(str(error))
        else:
            again = "" if written.suffix == ".html" else f'; read it back with uspnb.load("{written}")'
            self.notice.say(f"written to {written}{again}")
            if written.is_file():
                self._show_link(written)
        finally:
            self.write.disabled = False

    def _show_link(self, written: Path) -> None:
        # A notebook server gives out only what lies under its folder.
        try:
            inside = written.resolve().relative_to(Path.cwd())
        except ValueError:
            return
        link = FileLink(str(inside), result_html_prefix="Open: ")
        self.link.append_display_data(link)

    def _on_kind(self, change: dict[str, Any]) -> None:
        self.path.value = str(Path(self.path.value.strip() or "session").with_suffix(change["new"]))


def _called(mark: Mark | Path) -> str:
    """What a mark or a snapshot file is called in the list."""
    if not isinstance(mark, Path):
        return f"{mark.label} (tick {mark.tick:,})"
    ticks, taken_ns = (int(part) for part in mark.stem.split("_")[1:3])
    taken = datetime.fromtimestamp(taken_ns / 1e9, UTC)
    return f"on disk: {taken:%Y-%m-%d %H:%M:%S} UTC (tick {ticks:,})"


def _wide_enough() -> ipywidgets.Layout:
    return ipywidgets.Layout(flex="1 1 9em", min_width="0", width="auto")


class Controls(ipywidgets.VBox):
    """Play, pause, step, speed, look back, sensitivity, alarms, marks and export of one session.

    It holds no result and computes none: a control puts a command into the session's queue, and what is shown comes
    from the session's publisher, five times a second at the most.

    Args:
        session: the session that is driven and shown.
        view: a `LiveView` of the same session, which alarms and the slider move; it may be left out.
    """

    def __init__(self, session: Session, view: LiveView | None = None) -> None:
        self.session, self.view = session, view
        self.notice = Notice()
        self.badges = Badges()
        self.transport = Transport(session, self.notice, self._move_view)
        self.alarms = AlarmTable(self._jump, session.has_times)
        self.settings = SettingsPanel(session, self.notice)
        self.marks = Marks(session)
        self.export = Export(session)
        self._alarms_shown = (0, 0)
        sheet = ipywidgets.HTML(
            f"<style>{style('controls')}</style>",
            layout=ipywidgets.Layout(display="none"),
        )
        parts = (
            self._column("1 1 300px", self.transport, self.alarms),
            self._column("2 1 400px", self.settings),
            self._column("1 1 240px", self.marks, self.export),
        )
        super().__init__(
            [
                sheet,
                self.badges,
                self.notice,
                ipywidgets.Box(parts, layout=ipywidgets.Layout(display="flex", flex_flow="row wrap", width="100%")),
            ],
            layout=ipywidgets.Layout(width="100%", min_width="0"),
        )
        self.add_class("uspnb-controls")
        self.refresh()
        self._throttle = Throttle(self.refresh, REFRESH_S)
        self._unsubscribe = session.subscribe(self._throttle)

    def refresh(self) -> None:
        """Show the session as it stands now."""
        status = self.session.status
        self.badges.refresh(status)
        self.transport.refresh(status)
        self.settings.refresh()
        self.marks.refresh()
        self.marks.make.disabled = self.marks.save.disabled = status.phase == "closed"
        if (alarms := (status.alarms, self.session.revision)) != self._alarms_shown:
            self._alarms_shown = alarms
            self.alarms.has_times = self.session.has_times
            self.alarms.refresh(self.session.alarms())

    def command(self, name: str, value: Any = None) -> str:
        """What the view's own buttons ask of its host, "export" or "snapshot"; what came of it, in words."""
        if name == "export":
            self.export.export()
            return self.export.notice.text
        if name == "snapshot":
            self.marks.snapshot()
            return self.marks.notice.text
        return ""

    def close(self) -> None:
        """Let the session go on without these controls."""
        self._unsubscribe()
        self._throttle.close()
        super().close()

    def _move_view(self, tick: int) -> None:
        if self.view is not None:
            self.view.jump(tick)

    def _jump(self, tick: int) -> None:
        self.transport.look_at(tick)
        self._move_view(tick)

    @staticmethod
    def _column(flex: str, *children: ipywidgets.Widget) -> ipywidgets.VBox:
        return ipywidgets.VBox(
            children, layout=ipywidgets.Layout(flex=flex, min_width="0", padding="0 8px 8px 0", max_width="100%")
        )


class Workbench(ipywidgets.VBox):
    """A session's view with its controls under it; where there is little room the parts stand below one another.

    Args:
        session: the session to show.
        rest: arguments of `LiveView`: `rows`, `theme`, `height`.
    """

    def __init__(self, session: Session, **rest: Any) -> None:
        self.session = self.shown = session
        self.view = LiveView(session, **rest)
        self.controls = Controls(session, self.view)
        self.view.on_command(self.controls.command)
        self.view.observe(self._on_selected, "selected")
        super().__init__([self.view, self.controls], layout=ipywidgets.Layout(width="100%", min_width="0"))

    def _repr_mimebundle_(self, **rest: Any) -> dict[str, Any]:
        """The live widget; where no kernel is, on a static page, the session's own summary stands for it."""
        static: dict[str, Any] = {"text/plain": repr(self.session), "text/html": self.session._repr_html_()}
        return (super()._repr_mimebundle_(**rest) or {}) | static

    def _on_selected(self, change: dict[str, Any]) -> None:
        """A tick that was clicked in the view: the slider stands there, ready to go back to it."""
        tick = change["new"].get("tick")
        if isinstance(tick, int) and 0 <= tick < self.session.status.ticks:
            self.controls.transport.look_at(tick)

    def close(self) -> None:
        """Close view and controls; the session goes on."""
        self.view.close()
        self.controls.close()
        super().close()


def show(shown: Any, **rest: Any) -> Workbench | TuningMonitor:
    """The workbench of a session or the monitor of a tuning campaign: the one that is open already, or a new one.

    Args:
        shown: a session; an `AsyncMetaOptimizer`; or a `BayesianMetaOptimizer`, which then runs in the background.
        rest: arguments of `LiveView` or of `TuningMonitor` for a new one.
    """
    view = _open.get(id(shown))
    if view is not None and view.shown is shown and view.comm is not None:
        return view
    if not hasattr(shown, "optimize"):
        view = Workbench(shown, **rest)
    elif hasattr(shown, "subscribe"):
        view = TuningMonitor(shown, **rest)
    else:
        from uspnb.tuning.background import AsyncMetaOptimizer

        view = TuningMonitor(AsyncMetaOptimizer(optimizer=shown), **rest)
        view.shown = shown
    _open[id(shown)] = view
    return view
