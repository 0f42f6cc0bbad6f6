"""The current settings as Python code, with a button that copies them."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

FOLDER = Path(__file__).parent


class CopyCode(anywidget.AnyWidget):
    """A button "Copy as code" and the code under it.

    Args:
        code: what the button copies; set the trait to change it.
    """

    _esm = "\n".join((FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in ("copying", "copy_code"))

    code = traitlets.Unicode("").tag(sync=True)

    def __init__(self, code: str = "") -> None:
        super().__init__(code=code)
