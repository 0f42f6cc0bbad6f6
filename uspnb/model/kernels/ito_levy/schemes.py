"""The switched scheme for dX = b(X) dt + sigma dW + dJ: explicit where drift is mild, implicit where it is stiff."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ....array_types import Array, Float, Scalar

Drift = Callable[[Array], Array]
Number = Scalar | float

NEWTON_STEPS = 4


def implicit_weight(stiffness: Number, low: Number, high: Number) -> Scalar:
    """Share of the implicit step: 0 up to theta_L, 1 from theta_H, linear between (a convex mix).

    Args:
        stiffness: S = |b'(x)| times the window's length.
        low, high: theta_L < theta_H.
    """
    return jnp.clip((stiffness - low) / (high - low), 0.0, 1.0)


def drift_slope(drift: Drift, x: Float[Array, "..."], epsilon: Number) -> Float[Array, "..."]:
    """b'(x) by the central difference (b(x + eps) - b(x - eps)) / (2 eps)."""
    return (drift(x + epsilon) - drift(x - epsilon)) / (2.0 * epsilon)


def explicit_step(
    drift: Drift, x: Float[Array, "..."], dt: Number, noise: Float[Array, "..."] | float = 0.0
) -> Float[Array, "..."]:
    """Euler-Maruyama: X' = X + b(X) dt + noise, where noise = sigma dW + dJ of the step.

    Source: Kloeden and Platen (1992), section 10.2: strong order 1/2, 1 for additive noise.
    """
    return x + drift(x) * dt + noise


def implicit_step(
    drift: Drift,
    x: Float[Array, "..."],
    dt: Number,
    noise: Float[Array, "..."] | float = 0.0,
    epsilon: Number = 1e-6,
) -> Float[Array, "..."]:
    """Trapezoidal step: the X' that solves X' = X + (b(X) + b(X')) dt / 2 + noise.

    Solved by a fixed number of Newton steps, exact after one where b is linear.  A predictor put in place of X' on the
    right would be explicit again, and would diverge where stiffness asks for this step.

    Args:
        drift: b, elementwise.
        x: state of any shape.
        dt: step [ticks].
        noise: sigma dW + dJ of the step.
        epsilon: step of the finite difference of b' [units of x].

    Source: Kloeden and Platen (1992), section 12.2 (implicit schemes, A-stable for alpha = 1/2).
    """
    explicit = explicit_step(drift, x, 0.5 * dt, noise)

    def newton(_, z: Array) -> Array:
        residual = z - 0.5 * dt * drift(z) - explicit
        return z - residual / (1.0 - 0.5 * dt * drift_slope(drift, z, epsilon))

    return jax.lax.fori_loop(0, NEWTON_STEPS, newton, x, unroll=True)


def switched_step(
    drift: Drift,
    x: Float[Array, "..."],
    dt: Number,
    weight: Number,
    noise: Float[Array, "..."] | float = 0.0,
    epsilon: Number = 1e-6,
) -> Float[Array, "..."]:
    """(1 - w) explicit + w implicit, both driven by the same noise.

    Args:
        drift: b, elementwise.
        x: state.
        dt: step [ticks].
        weight: w of `implicit_weight`; at 0 the implicit step is not looked at, and at 1 neither is the explicit one,
            which may have overflowed.
        noise: sigma dW + dJ of the step.
        epsilon: step of the finite difference of b'.
    """
    explicit = explicit_step(drift, x, dt, noise)
    implicit = implicit_step(drift, x, dt, noise, epsilon)
    mixed = (1.0 - weight) * explicit + weight * implicit
    return jnp.where(weight >= 1.0, implicit, jnp.where(weight <= 0.0, explicit, mixed))


def graded_mesh(first: Number, steps: int) -> Float[Array, "steps"]:
    """Lengths of steps that fill [0, 1], the first of length `first`: t_i = (i / steps)^p, p = ln(first) / -ln(steps).

    A stiff mean equation moves fastest at its start, so steps are spent there.  Uniform where first >= 1 / steps.

    Source: Brunner (1985), graded meshes for initial layers.
    """
    power = jnp.maximum(jnp.log(first) / -jnp.log(float(steps)), 1.0)
    return jnp.diff((jnp.arange(steps + 1) / steps) ** power)


def mean_flow(drift: Drift, x: Scalar, mesh: Float[Array, "steps"], weight: Number, epsilon: Number = 1e-6) -> Scalar:
    """Solution of the mean equation x' = b(x) over a mesh of time, by the switched scheme without noise."""
    return jax.lax.scan(lambda z, dt: (switched_step(drift, z, dt, weight, 0.0, epsilon), None), x, mesh)[0]
