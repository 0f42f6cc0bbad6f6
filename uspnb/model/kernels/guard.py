"""What stands between a user's kernel and the tick: a wrong shape is refused by name, NaN is kept out of the fusion.

Shapes are known when a program is traced, at the first tick at the latest, so that a wrong one is an exception.
Numbers are known when it runs, where nothing can raise: a kernel that gives NaN has failed for that tick.  The
package's own kernels are not guarded, as the conformance battery runs over them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...array_types import Array, Bool, Flag, Float, Key, PyTree
from ...config.schema import PredictorConfig
from ...errors import DomainError
from .base import KernelInputs, KernelOutput
from .registry import KernelEntry

BATTERY = "uspnb.testing.check_kernel says what a kernel must do"


class Guarded(NamedTuple):
    """A tick of a user's kernel.

    Attributes:
        state: after the tick; after one at which the kernel failed, that before it.
        output: finite; where the kernel failed the last value, mean 0 and scale 1.
        failed: whether its forecast, its scale or its state was not finite, or the scale not above zero.
    """

    state: PyTree
    output: KernelOutput
    failed: Flag


def guarded_init(entry: KernelEntry, config: PredictorConfig, key: Key) -> PyTree:
    """The kernel's state before the first tick.

    Raises:
        DomainError: its `init` raised.
    """
    try:
        return entry.kernel.init(config, key)
    except Exception as error:  # whatever a user's function raises
        raise _raised(entry, "init", error) from error


def guarded_step(entry: KernelEntry, config: PredictorConfig, state: PyTree, inputs: KernelInputs, key: Key) -> Guarded:
    """The kernel's `step`, with what would harm the fusion kept out.

    Raises:
        DomainError: it raised, or its state or output has another structure, shape or dtype than it must.
    """
    try:
        new, output = entry.kernel.step(config, state, inputs, key)
    except Exception as error:  # whatever a user's function raises
        raise _raised(entry, "step", error) from error
    problem = state_problem(state, new) or output_problem(output, len(config.steps))
    if problem:
        raise DomainError(f"the kernel {entry.name!r} cannot be run: {problem}; {BATTERY}")
    mean, scale = output.mean.astype(float), output.scale.astype(float)
    fine = jnp.all(jnp.isfinite(mean) & jnp.isfinite(scale) & (scale > 0)) & _all_finite(new)
    return Guarded(
        jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, state),
        output._replace(mean=jnp.where(fine, mean, 0.0), scale=jnp.where(fine, scale, 1.0)),
        ~fine,
    )


def without_failed(weight: Float[Array, "kernel"], failed: Bool[Array, "kernel"]) -> Float[Array, "kernel"]:
    """The weights of the kernels that have not failed, on the simplex; as they are where all have."""
    left = jnp.where(failed, 0.0, weight)
    total = jnp.sum(left)
    # Those that are left may have had none of the weight.
    evenly = jnp.where(failed, 0.0, 1.0) / jnp.maximum(jnp.sum(~failed), 1)
    shared = jnp.where(total > 0, left / jnp.where(total > 0, total, 1.0), evenly)
    return jnp.where(jnp.all(failed), weight, shared)


def state_problem(before: PyTree, after: PyTree) -> str:
    """How a state differs in kind from the one before it, "" where it does not."""
    if jax.tree.structure(after) != jax.tree.structure(before):
        return "step returns a state of another structure than init"
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        (shape, dtype), (new_shape, new_dtype) = _kind(old), _kind(new)
        if (shape, dtype) != (new_shape, new_dtype):
            return f"a leaf of the state changes from {dtype}{shape} to {new_dtype}{new_shape}"
    return ""


def output_problem(output: Any, horizons: int) -> str:
    """What is wrong with the kind of an output, "" where nothing is.

    Args:
        output: of a step.
        horizons: how many are asked for; a kernel that gives one alone is carried on to the others.
    """
    if not isinstance(output, KernelOutput):
        return f"step returns a {type(output).__name__} where a KernelOutput belongs"
    (shape, kind), (scale_shape, scale_kind) = _kind(output.mean), _kind(output.scale)
    if shape != scale_shape or shape not in {(1,), (horizons,)}:
        wanted = f"({horizons},)" if horizons == 1 else f"({horizons},) or (1,)"
        return f"mean and scale have the shapes {shape} and {scale_shape}, not {wanted} each"
    if not (jnp.issubdtype(kind, jnp.floating) and jnp.issubdtype(scale_kind, jnp.floating)):
        return f"mean and scale have the dtypes {kind} and {scale_kind}, not those of real numbers"
    return "" if hasattr(output.diagnostics, "_fields") else "the diagnostics are no NamedTuple"


def _kind(leaf: Any) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype of an array, of its abstract stand-in or of a number."""
    return tuple(getattr(leaf, "shape", ())), leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)


def _all_finite(state: PyTree) -> Flag:
    numbers = [leaf for leaf in map(jnp.asarray, jax.tree.leaves(state)) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in numbers] or [True]))


def _raised(entry: KernelEntry, function: str, error: Exception) -> DomainError:
    return DomainError(f"{function} of the kernel {entry.name!r} raised {type(error).__name__}: {error}; {BATTERY}")
