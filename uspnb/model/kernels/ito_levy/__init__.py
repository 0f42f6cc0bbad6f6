"""Kernel C: a jump diffusion estimated online, forecast by its conditional mean."""

from .estimation import LevyEstimate, LevyParameters
from .kernel import ItoLevyDiagnostics, ItoLevyState, init, step
from .simulate import simulate_paths

__all__ = [
    "ItoLevyDiagnostics",
    "ItoLevyState",
    "LevyEstimate",
    "LevyParameters",
    "init",
    "simulate_paths",
    "step",
]
