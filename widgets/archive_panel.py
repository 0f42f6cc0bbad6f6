"""Marks to come back to, and export of the session to a file."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import FileLink

from uspnb.errors import UspnbError

from .notices import Notice, button, heading, row

if TYPE_CHECKING:
    from uspnb.session import Mark, Session

NO_MARK = (("no mark yet", ""),)
FORMATS = (("Zarr archive", ".zarr"), ("netCDF file", ".nc"), ("HTML report", ".html"))


class Marks(ipywidgets.VBox):
    """Snapshots of the session in memory: make one, choose one, go back to it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown: tuple[Mark, ...] = ()
        self.notice = Notice()
        self.label = ipywidgets.Text(
            "", placeholder="name (optional)", tooltip="Name of the next mark", layout=_wide_enough()
        )
        self.make = button("Mark", "Keep a snapshot of the session as it stands now", "bookmark")
        self.make.on_click(lambda _: self.mark())
        self.choice = ipywidgets.Dropdown(options=NO_MARK, tooltip="The mark to restore", layout=_wide_enough())
        self.restore = button("Restore", "Go back to the chosen mark", "history")
        self.restore.disabled = True
        self.restore.on_click(lambda _: self._on_restore())
        super().__init__([heading("Marks"), row(self.label, self.make), row(self.choice, self.restore), self.notice])
        self.refresh()

    def mark(self) -> None:
        """Keep a snapshot under the typed name."""
        if self.notice.attempt(self._session.mark, self.label.value.strip()):
            self.label.value = ""
            self.refresh()
            self.notice.say(f"marked: {self.choice.label}")

    def refresh(self) -> None:
        """List the marks that the session keeps, the newest chosen when it is new."""
        marks = tuple(reversed(self._session.marks))
        if marks == self._shown:
            return
        chosen = self.choice.value if len(marks) == len(self._shown) else None
        self._shown = marks
        self.choice.options = [(f"{mark.label} (tick {mark.tick:,})", mark) for mark in marks] or NO_MARK
        self.choice.value = chosen if chosen in marks else self.choice.options[0][1]
        self.restore.disabled = not marks

    def _on_restore(self) -> None:
        mark = self.choice.value
        if mark in self._shown and self.notice.attempt(self._session.restore, mark):
            self.notice.say(f"back at {self.choice.label}")


class Export(ipywidgets.VBox):
    """Writes the session to a Zarr archive, a netCDF file or an HTML page, without holding up the kernel."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._writer: threading.Thread | None = None
        self.notice = Notice()
        self.kind = ipywidgets.Dropdown(options=FORMATS, tooltip="Format of the export", layout=_wide_enough())
        stem = re.sub(r"\W+", "-", session.title or "").strip("-").lower() or "session"
        self.path = ipywidgets.Text(
            f"{stem}.zarr", tooltip="Where to write, relative to the notebook's folder", layout=_wide_enough()
        )
        self.write = button("Export", "Write every tick so far to this file", "download")
        self.link = ipywidgets.Output()
        self.kind.observe(self._on_kind, "value")
        self.write.on_click(lambda _: self.export())
        super().__init__([heading("Export"), row(self.kind, self.path, self.write), self.notice, self.link])

    def export(self) -> None:
        """Start writing to the path that is typed; the notice says how it ended."""
        if self._writer is not None and self._writer.is_alive():
            return
        target = Path(self.path.value.strip())
        self.write.disabled = True
        self.link.outputs = ()
        self.notice.say(f"writing {target} ...")
        self._writer = threading.Thread(target=self._export, args=(target,), name="uspnb-export", daemon=True)
        self._writer.start()

    def wait(self, timeout: float = 60.0) -> None:
        """Until what is being written has been written."""
        if self._writer is not None:
            self._writer.join(timeout)

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


def _wide_enough() -> ipywidgets.Layout:
    return ipywidgets.Layout(flex="1 1 9em", min_width="0", width="auto")
