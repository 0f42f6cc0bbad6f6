"""The kernels: forecasts of the next tick from different views of the process, all of one shape; their registry."""

from .deep_galerkin.ladder import compute_entropy_ratio, scale_dgm_architecture

__all__ = ["compute_entropy_ratio", "scale_dgm_architecture"]
