"""Acting on a served page from a thread that is not the page's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bokeh.document import Document


def on_page(pages: Sequence[Document], act: Callable[[], None]) -> None:
    """Have the thread of the first page call `act()`; without a page call it here, for one that was left not at all.

    Args:
        pages: documents that show the component.
        act: sets what the page shall see.
    """
    page = next(iter(pages), None)
    if page is None:
        act()
        return
    try:
        page.add_next_tick_callback(act)
    except AttributeError:
        # Bokeh takes the document of a page that was left apart, attribute by attribute, in another thread than this
        # one, its context first; what was on its way there is for nobody any more.
        if page.session_context is not None:
            raise
