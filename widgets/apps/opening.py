"""Choosing what to look at: a series on offer, or a CSV file and its columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn

from uspnb.data.series import Series
from uspnb.errors import UspnbError

from .choices import grouped
from .page import FOLDER, Notice
from .uploads import Table, Upload, choose, open_table

FOUND = "found by itself"
MOST_KEPT = 5
_FILE = "file:"
_WIDGET_STYLE = [(FOLDER / "widgets.css").read_text(encoding="utf-8")]


def styled(kind: Any, **settings: Any) -> Any:
    """A widget of Panel in the page's colours."""
    return kind(stylesheets=_WIDGET_STYLE, **{"margin": (0, 10, 0, 0)} | settings)


class Opening:
    """The row above a view.

    Args:
        on_choice: called with the key of a series on offer.
        on_series: called with an uploaded series and its title.
        notice: where refusals are shown.
        most_bytes: largest upload.
        open_words: what the button says that takes the columns of a file.
    """

    def __init__(
        self,
        on_choice: Callable[[str], None],
        on_series: Callable[[Any, str], None],
        notice: Notice,
        most_bytes: int,
        open_words: str = "Predict this column",
    ) -> None:
        self._on_choice, self._on_series, self._notice = on_choice, on_series, notice
        self._table: Table | None = None
        self._opened: dict[str, Series] = {}
        self._selecting = False
        self.chooser = styled(pn.widgets.Select, name="Series", groups=grouped(), width=300)
        self.chooser.param.watch(lambda event: self._chosen(), "value")
        self.upload = Upload(
            self._on_file, notice.refuse, label="or open a CSV file", accept=".csv,.tsv,.txt", most_bytes=most_bytes
        )
        self.value = styled(pn.widgets.Select, name="Column of values", width=190)
        self.time = styled(pn.widgets.Select, name="Column of times", width=190)
        self.open = styled(pn.widgets.Button, name=open_words, margin=(19, 0, 0, 0))
        self.open.on_click(lambda event: self._guarded(self._open_columns))
        self.columns = pn.FlexBox(
            self.value, self.time, self.open, visible=False, margin=(8, 0, 0, 0), sizing_mode="stretch_width"
        )
        row = pn.FlexBox(
            self.chooser, self.upload, align_items="end", gap="10px 6px", margin=0, sizing_mode="stretch_width"
        )
        self.upload.param.update(sizing_mode=None, margin=0)
        self.layout = pn.Column(row, self.columns, sizing_mode="stretch_width", margin=0)

    def select(self, key: str) -> None:
        """Choose a series on offer and open it."""
        self._selecting = True
        self.chooser.value = key
        self._selecting = False
        self._guarded(lambda: self._on_choice(key))

    def close(self) -> None:
        """Forget what was uploaded."""
        self.upload.close()
        self._opened.clear()

    def _chosen(self) -> None:
        if not self._selecting:
            self.columns.visible = False
            self._guarded(lambda: self._open(self.chooser.value))

    def _open(self, key: str) -> None:
        if key in self._opened:
            self._on_series(self._opened[key], key.removeprefix(_FILE))
        else:
            self._on_choice(key)

    def _keep(self, series: Series, title: str) -> None:
        """Open an uploaded series, and offer it beside the others from now on."""
        self._on_series(series, title)
        self._opened[_FILE + title] = series
        while len(self._opened) > MOST_KEPT:
            del self._opened[next(iter(self._opened))]
        files = {key.removeprefix(_FILE): key for key in self._opened}
        self._selecting = True
        self.chooser.groups = {**grouped(), "Opened here": files}
        self.chooser.value = _FILE + title
        self._selecting = False

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except UspnbError as error:
            self._notice.refuse(str(error))

    def _on_file(self, path: Path, name: str) -> None:
        self.columns.visible = False
        self._guarded(lambda: self._read(path, name))

    def _read(self, path: Path, name: str) -> None:
        self._table = table = open_table(path, name)
        names = list(table.columns)
        if len(names) > 1:
            self.value.param.update(options=names, value=names[-1])
            self.time.param.update(options=[FOUND, *names], value=FOUND)
            self.columns.visible = True
        if table.series is None:
            self._notice.tell(table.reason + ".")
        else:
            self._keep(table.series, name)

    def _open_columns(self) -> None:
        if self._table is None:
            return
        time = None if self.time.value == FOUND else self.time.value
        series = choose(self._table, time, self.value.value)
        self._keep(series, f"{self._table.name}: {self.value.value}")
