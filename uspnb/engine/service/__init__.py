"""A service: series predicted until a signal, restarted where they stopped, watched over HTTP."""

from typing import TYPE_CHECKING

from ...runtime.later import import_later

if TYPE_CHECKING:
    from .service import Service

# The command line asks this package for its options alone, and must answer at once.
__getattr__ = import_later(
    __name__,
    {
        "service": "Service",
    },
)


__all__ = ["Service"]
