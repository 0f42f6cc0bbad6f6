"""Kernel A: projection in Hilbert space, linear (Wiener-Hopf) and in a reproducing kernel space."""

from .kernel import HilbertDiagnostics, HilbertState, init, step

__all__ = ["HilbertDiagnostics", "HilbertState", "init", "step"]
