"""The closed loop: a live predictor watched, tuned in the background, changed and, where that fails, changed back."""

from .autotuner import Autotuner
from .decisions import AutotuneStatus, Decision, Decisions, LoopSettings
from .proposing import CampaignTask, Found, Proposal, Verdict
from .reach import loop_space

__all__ = [
    "AutotuneStatus",
    "Autotuner",
    "CampaignTask",
    "Decision",
    "Decisions",
    "Found",
    "LoopSettings",
    "Proposal",
    "Verdict",
    "loop_space",
]
