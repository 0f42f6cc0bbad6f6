"""Many series at once: `Fleet`, the engine behind the fleet page."""

from .fleet import Fleet

__all__ = ["Fleet"]
