"""Aliases of array types used in signatures; shapes are named in the annotation with jaxtyping."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Bool, Float, Int, UInt32

Scalar = Float[Array, ""]
Flag = Bool[Array, ""]
Count = Int[Array, ""]
Key = UInt32[Array, "2"]
PyTree = Any

__all__ = ["Array", "Bool", "Count", "Flag", "Float", "Int", "Key", "PyTree", "Scalar"]
