"""Choosing what to look at: a series on offer, or a file that a reader hands over.

A file is taken in pieces, bounded in size, and read with errors in plain words; of a CSV file the columns are chosen.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel as pn
import param

from uspnb.data.csv import read_csv
from uspnb.data.dates import AmbiguousDates
from uspnb.data.series import Series
from uspnb.data.table import find_names
from uspnb.errors import DomainError

from ..front_end import bundle
from .choices import CHOICES, SEA, find_choice, group_choices
from .page import FOLDER, WIDE, AppPage, Part
from .site import MOST_BYTES

PIECE = 1_000_000
_HEAD_BYTES = 65_536
AUTOMATIC = "found by itself"
MOST_OPENED = 5
_FILE = "file:"
_WIDGET_STYLE = [(FOLDER / "widgets.css").read_text(encoding="utf-8")]


class Upload(Part):
    """A place to choose or drop a file.

    The browser refuses a file above `most_bytes` before it reads it; the server counts for itself and refuses what
    a page sends beyond that.

    Args:
        on_file: called with the path of the whole file and the name it had with the reader; the file is removed when
            the call returns.
        on_refusal: called with a sentence where the server stops an upload.
    """

    label = param.String(default="Open a file", doc="what the reader is asked for")
    accept = param.String(default="", doc="name endings that the file chooser offers")
    most_bytes = param.Integer(default=MOST_BYTES, doc="largest file")
    piece = param.Integer(default=PIECE, doc="bytes of one message")
    received = param.Dict(default={}, doc="id of the upload, bytes that have come, and whether to stop")

    _esm = bundle("upload")

    def __init__(self, on_file: Callable[[Path, str], None], on_refusal: Callable[[str], None], **params: Any) -> None:
        self._on_file, self._on_refusal = on_file, on_refusal
        self._content = bytearray()
        self._id = ""
        super().__init__(**params)

    def _handle_msg(self, data: Any) -> None:
        try:
            name, size, piece = self._checked(data)
        except DomainError as error:
            self._stop(str(error))
            return
        self._content += piece
        whole = len(self._content) >= size
        self.received = {"id": self._id, "bytes": len(self._content), "stop": whole}
        if whole:
            content, self._content = self._content, bytearray()
            with tempfile.NamedTemporaryFile(prefix="uspnb-upload-", suffix=Path(name).suffix.lower()) as file:
                file.write(content)
                file.flush()
                self._on_file(Path(file.name), name)

    def _checked(self, data: Any) -> tuple[str, int, bytes]:
        """The next piece, if it is one that this page may send now."""
        if not isinstance(data, dict) or not isinstance(data.get("data"), (bytes, bytearray)):
            raise DomainError("the upload was not understood; load the page again")
        name, size = Path(str(data.get("name", "file"))).name[:120] or "file", int(data.get("size", 0))
        if data.get("id") != self._id or data.get("from") == 0:
            self.close()
            self._id = str(data.get("id"))
        if size == 0:
            raise DomainError(f"{name} is empty; choose a file with rows in it")
        if max(size, len(self._content) + len(data["data"])) > self.most_bytes:
            raise DomainError(
                f"{name} has {size / 1e6:,.1f} MB; at most {self.most_bytes / 1e6:g} MB can be uploaded. Cut it, or "
                "give the path of the file on the server: uspnb serve --source FILE"
            )
        if data.get("from") != len(self._content):
            raise DomainError(f"the upload of {name} lost a piece; choose the file again")
        return name, size, bytes(data["data"])

    def _stop(self, reason: str) -> None:
        self.close()
        self.received = {"id": self._id, "bytes": 0, "stop": True}
        self._on_refusal(reason)

    def close(self) -> None:
        """Forget an upload that is under way."""
        self._content = bytearray()


@dataclasses.dataclass(frozen=True)
class Table:
    """An uploaded CSV file whose columns the reader has to choose from, or its series.

    Attributes:
        name: what the file is called.
        content: its bytes.
        columns: their names.
        series: what was read where there was nothing to choose.
        reason: why there was.
        readings: where its dates can be read in two ways, the first row's by the order of day and month.
        dayfirst: which of them the reader has chosen.
    """

    name: str
    content: bytes
    columns: tuple[str, ...]
    series: Series | None = None
    reason: str = ""
    readings: dict[str, str] = dataclasses.field(default_factory=dict)
    dayfirst: bool | None = None


def open_table(
    path: Path, name: str, dayfirst: bool | None = None, time: str | None = None, value: str | None = None
) -> Table:
    """Read an uploaded CSV file, or say what there is to choose: its columns, or the order of day and month.

    Raises:
        DomainError: it cannot be read whatever the choice; the message names the file as the reader knows it.
    """
    content = path.read_bytes()
    table = Table(name, content, header(content), dayfirst=dayfirst)
    try:
        return dataclasses.replace(table, series=read_csv(path, time, value and (value,), dayfirst=dayfirst))
    except AmbiguousDates as error:
        reason = _plain(error, path, name).partition("; say which")[0]
        return dataclasses.replace(table, reason=f"{reason}; which is meant?", readings=error.readings)
    except DomainError as error:
        reason = _plain(error, path, name)
        if value is not None or "several columns" not in reason:
            raise DomainError(reason) from None
        return dataclasses.replace(table, reason=reason)


def header(content: bytes) -> tuple[str, ...]:
    """Names of the columns of a CSV file."""
    return find_names(content[:_HEAD_BYTES].decode("utf-8-sig", errors="replace").split("\n"))


def _plain(error: DomainError, path: Path, name: str) -> str:
    """The message of `read_csv` for a page, which knows neither the path nor the options of the command line."""
    text = str(error).replace(str(path), name)
    text = re.sub(r"; choose one with --value.*", "; choose one below", text)
    return re.sub(r"; name one with --value.*", "", text)


def style_widget(kind: Any, **settings: Any) -> Any:
    """A widget of Panel in the page's colours."""
    return kind(stylesheets=_WIDGET_STYLE, **{"margin": (0, 10, 0, 0)} | settings)


class Opening:
    """The row above a view: a chooser of series, an upload, and the columns of a file.

    Args:
        page: shows what is chosen.
        open_words: what the button says that takes the columns of a file.
    """

    def __init__(self, page: AppPage, open_words: str = "Predict this column") -> None:
        self._page = page
        self._table: Table | None = None
        self._opened: dict[str, Series] = {}
        self._selecting = False
        self.chooser = style_widget(pn.widgets.Select, name="Series", groups=group_choices(), width=300)
        self.chooser.param.watch(lambda event: self._choose(), "value")
        self.upload = Upload(
            self._read,
            page.notice.refuse,
            label="or open a CSV file",
            accept=".csv,.tsv,.txt",
            most_bytes=page.site.most_bytes,
            sizing_mode=None,
        )
        self.value = style_widget(pn.widgets.Select, name="Column of values", width=190)
        self.time = style_widget(pn.widgets.Select, name="Column of times", width=190)
        self.open = style_widget(pn.widgets.Button, name=open_words, margin=(19, 0, 0, 0))
        self.open.on_click(lambda event: page.guard(self._open_columns))
        self.columns = pn.FlexBox(
            self.value, self.time, self.open, visible=False, margin=(8, 0, 0, 0), sizing_mode="stretch_width"
        )
        row = pn.FlexBox(self.chooser, self.upload, align_items="end", gap="10px 6px", **WIDE)
        self.orders = pn.FlexBox(visible=False, margin=(8, 0, 0, 0), sizing_mode="stretch_width")
        self.layout = pn.Column(row, self.orders, self.columns, **WIDE)

    def open_first(self) -> None:
        """Open the series that the page's address names, the sea temperature where it names none."""
        named = (pn.state.session_args or {}).get("series", [SEA.encode()])[0].decode(errors="replace")
        key = named if named in CHOICES else SEA
        self._select(key)
        self._page.guard(lambda: self._open(key))

    def close(self) -> None:
        """Forget what was uploaded."""
        self.upload.close()
        self._opened.clear()

    def _select(self, key: str) -> None:
        """Have the chooser show a series that is being opened."""
        self._selecting = True
        self.chooser.value = key
        self._selecting = False

    def _choose(self) -> None:
        if not self._selecting:
            self.columns.visible = self.orders.visible = False
            self._page.guard(lambda: self._open(self.chooser.value))

    def _open(self, key: str) -> None:
        if key in self._opened:
            self._page.open(self._opened[key], key.removeprefix(_FILE))
        else:
            choice = find_choice(key)
            self._page.open(choice.make(), choice.title)

    def _add(self, series: Series, title: str) -> None:
        """Open an uploaded series, and offer it beside the others from now on."""
        self._page.open(series, title)
        self._opened[_FILE + title] = series
        while len(self._opened) > MOST_OPENED:
            del self._opened[next(iter(self._opened))]
        self._selecting = True
        self.chooser.groups = {**group_choices(), "Opened here": {key.removeprefix(_FILE): key for key in self._opened}}
        self._select(_FILE + title)

    def _read(self, path: Path, name: str) -> None:
        self._page.read(open_table, path.read_bytes(), name, then=self._take)

    def _take(self, table: Table) -> None:
        """Show what a file holds, or ask what its reading needs."""
        self._table = table
        names = list(table.columns)
        self.columns.visible = len(names) > 1 and not table.readings
        if self.columns.visible:
            self.value.param.update(options=names, value=names[-1])
            self.time.param.update(options=[AUTOMATIC, *names], value=AUTOMATIC)
        self._offer_orders(table, self._reopen)
        if table.series is not None:
            self._add(table.series, table.name)
        elif not table.readings:
            self._page.notice.tell(table.reason + ".")

    def _offer_orders(self, table: Table, choose_order: Callable[[bool], None]) -> None:
        """A button for each reading of the dates, where there are several."""
        self.orders.visible = bool(table.readings)
        if not table.readings:
            return
        buttons = []
        for order, day in table.readings.items():
            button = style_widget(pn.widgets.Button, name=f"{day}: {order}")
            button.on_click(lambda event, first=order == "day first": self._page.guard(lambda: choose_order(first)))
            buttons.append(button)
        self.orders.objects = buttons
        self._page.notice.tell(table.reason)

    def _reopen(self, dayfirst: bool) -> None:
        if self._table is not None:
            self._page.read(open_table, self._table.content, self._table.name, dayfirst, then=self._take)

    def _open_columns(self, dayfirst: bool | None = None) -> None:
        if self._table is None:
            return
        table, dayfirst = self._table, self._table.dayfirst if dayfirst is None else dayfirst
        time, value = None if self.time.value == AUTOMATIC else self.time.value, self.value.value

        def take(table: Table) -> None:
            self._table = table
            self._offer_orders(table, self._open_columns)
            if not table.readings and table.series is not None:
                self._add(table.series, f"{table.name}: {value}")

        self._page.read(open_table, table.content, table.name, dayfirst, time, value, then=take)
