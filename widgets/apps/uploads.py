"""Files that a reader hands to a page: taken in pieces, bounded in size, and read with errors in plain words."""

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
from uspnb.errors import DomainError

from .page import FOLDER

MOST_BYTES = 50_000_000
PIECE = 1_000_000
_HEAD_BYTES = 65_536


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

    _esm = FOLDER / "upload.js"
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
