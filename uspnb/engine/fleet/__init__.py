"""Many series at once: `Fleet`, the engine behind the fleet page."""

from .fleet import AssetView, Fleet
from .fleet_stream import FleetStream
from .status import FleetStatus

__all__ = ["AssetView", "Fleet", "FleetStatus", "FleetStream"]
