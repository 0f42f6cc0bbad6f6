"""The current settings as Python code, with a button that copies them."""

from __future__ import annotations

import anywidget
import traitlets

from .live_esm import bundle


class CopyCode(anywidget.AnyWidget):
    """A button "Copy as code" and the code under it.

    Args:
        code: what the button copies; set the trait to change it.
    """

    _esm = bundle("copy_code")

    code = traitlets.Unicode("").tag(sync=True)

    def __init__(self, code: str = "") -> None:
        super().__init__(code=code)
