"""Choosing what to look at: a series on offer, or a file that a reader hands over.

A file is taken in pieces, bounded in size, and read with errors in plain words; of a CSV file the columns are chosen.
"""

from __future__ import annotations

import csv
import dataclasses
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import panel as pn
import param

from uspnb.data.csv import read_csv
from uspnb.data.series import Series
from uspnb.errors import DomainError, UspnbError

from ..front_end import bundle
from .choices import grouped
from .page import FOLDER, Notice

MOST_BYTES = 50_000_000
PIECE = 1_000_000
_HEAD_BYTES = 65_536
FOUND = "found by itself"
MOST_KEPT = 5
_FILE = "file:"
_WIDGET_STYLE = [(FOLDER / "widgets.css").read_text(encoding="utf-8")]


class Upload(pn.custom.JSComponent):
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
    _stylesheets: ClassVar[list[Any]] = [FOLDER / "elements.css"]

    def __init__(self, on_file: Callable[[Path, str], None], on_refusal: Callable[[str], None], **params: Any) -> None:
        self._on_file, self._on_refusal = on_file, on_refusal
        self._content = bytearray()
        self._id = ""
        super().__init__(**{"sizing_mode": "stretch_width", "margin": 0} | params)

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
        columns: names in its first line.
        series: what was read where there was nothing to choose.
        reason: why there was.
    """

    name: str
    content: bytes
    columns: tuple[str, ...]
    series: Series | None = None
    reason: str = ""


def open_table(path: Path, name: str) -> Table:
    """Read an uploaded CSV file, or say which columns there are to choose from.

    Raises:
        DomainError: it cannot be read whatever the choice; the message names the file as the reader knows it.
    """
    content = path.read_bytes()
    try:
        series = read_csv(path)
    except DomainError as error:
        reason = _plain(error, path, name)
        if "several columns" not in reason:
            raise DomainError(reason) from None
        return Table(name, content, header(content), None, reason)
    return Table(name, content, header(content), series)


def choose(table: Table, time: str | None, value: str) -> Series:
    """The series that a choice of columns makes.

    Raises:
        DomainError: a column holds no numbers or no times; the message names the line.
    """
    with tempfile.NamedTemporaryFile(prefix="uspnb-upload-", suffix=".csv") as file:
        file.write(table.content)
        file.flush()
        try:
            return read_csv(file.name, time, (value,))
        except DomainError as error:
            raise DomainError(_plain(error, Path(file.name), table.name)) from None


def header(content: bytes) -> tuple[str, ...]:
    """Names in the first line of a CSV file."""
    first = content[:_HEAD_BYTES].decode("utf-8-sig", errors="replace").partition("\n")[0].rstrip("\r")
    separator = max(",;\t", key=first.count)
    return tuple(cell.strip() for cell in next(csv.reader([first], delimiter=separator), ()) if cell.strip())


def _plain(error: DomainError, path: Path, name: str) -> str:
    """The message of `read_csv` for a page, which knows neither the path nor the options of the command line."""
    text = str(error).replace(str(path), name)
    text = re.sub(r"; choose one with --value.*", "; choose one below", text)
    return re.sub(r"; name one with --value.*", "", text)


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
