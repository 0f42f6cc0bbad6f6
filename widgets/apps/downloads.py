"""Exports on their way to the reader: written aside, fetched once or more over HTTP, removed with the page."""

from __future__ import annotations

import secrets
import tempfile
import zipfile
from pathlib import Path
from typing import Any, ClassVar

from bokeh.server.views.auth_request_handler import AuthRequestHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from uspnb.errors import DomainError

KINDS: dict[str, str] = {".nc": "netCDF (.nc)", ".html": "Report (.html)", ".zarr": "Zarr (.zip)"}
_TYPES = {".nc": "application/x-netcdf", ".html": "text/html; charset=utf-8", ".zip": "application/zip"}
_PIECE = 1 << 20


class Downloads:
    """One file at a time that may be fetched, under a name nobody can guess, in a folder that `close` removes."""

    offered: ClassVar[dict[str, Path]] = {}

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._key = ""

    def write(self, session: Any, kind: str, stem: str) -> dict[str, str]:
        """Export a session and offer the file.

        Args:
            session: what is exported; its `export(path)` does the work.
            kind: one of `KINDS`.
            stem: name of the file without its ending.

        Returns:
            `url` relative to the page, and `name`.

        Raises:
            DomainError: another kind, or a session that has nothing to export.
        """
        if kind not in KINDS:
            raise DomainError(f"export {kind!r} is not one of {', '.join(KINDS)}")
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="uspnb-export-", ignore_cleanup_errors=True)
        target = Path(session.export(Path(self._folder.name) / f"{stem}{kind}"))
        path = _zip(target) if kind == ".zarr" else target
        self._key = secrets.token_urlsafe(24)
        self.offered[self._key] = path
        return {"url": f"export/{self._key}/{path.name}", "name": path.name}

    def close(self) -> None:
        """Remove the file."""
        self.offered.pop(self._key, None)
        if self._folder is not None:
            self._folder.cleanup()


def _zip(folder: Path) -> Path:
    archive_path = folder.with_name(folder.name + ".zip")
    with zipfile.ZipFile(archive_path, "w", zipfile.ZIP_STORED) as archive:  # the chunks are compressed already
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent))
    return archive_path


class DownloadHandler(AuthRequestHandler):
    """Sends an offered file; its key is the permission, since only the page that asked was told it."""

    @authenticated
    async def get(self, key: str, name: str) -> None:
        path = Downloads.offered.get(key)
        if path is None or path.name != name or not path.is_file():
            raise HTTPError(404, "this export is gone; export again")
        self.set_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
        self.set_header("Content-Disposition", f'attachment; filename="{path.name}"')
        self.set_header("Content-Length", str(path.stat().st_size))
        self.set_header("Cache-Control", "no-store")
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                self.write(piece)
                try:
                    await self.flush()
                except StreamClosedError:
                    return  # the reader has left
