"""The engine of one live series: `Session` and what it says about itself."""

from .session import Session
from .settings import Setting
from .status import Mark, SessionStatus

__all__ = ["Mark", "Session", "SessionStatus", "Setting"]
