"""Many series at once: `Fleet`, the engine behind the fleet page."""

from .asset_view import AssetView
from .fleet import Fleet
from .status import FleetStatus

__all__ = ["AssetView", "Fleet", "FleetStatus"]
