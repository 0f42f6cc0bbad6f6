"""The semimartingale split against closed forms of Brownian motion, drift and jumps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.data import processes
from uspnb.model.identification.semimartingale import semimartingale_split

split = jax.jit(semimartingale_split)


def test_by_the_definitions() -> None:
    x = processes.random_walk(50, 1, drift=0.1).values
    d = np.diff(x)
    parts = split(jnp.asarray(np.r_[np.full(14, x[0]), x]), jnp.asarray(50))
    drift = d[:-1].mean()
    assert float(parts.drift) == pytest.approx(drift, rel=1e-12)
    assert float(parts.martingale_last) == pytest.approx(x[-1] - x[0] - 49 * drift, rel=1e-9)
    assert float(parts.finite_variation) == pytest.approx(49 * abs(drift), rel=1e-12)
    assert float(parts.quadratic_variation) == pytest.approx((d**2).sum(), rel=1e-12)
    bipower = np.pi / 2 * 49 / 48 * np.abs(d[1:] * d[:-1]).sum()
    assert float(parts.bipower_variation) == pytest.approx(bipower, rel=1e-12)


def test_brownian_motion_has_no_jumps_and_a_jump_is_its_square() -> None:
    walks = np.stack([processes.random_walk(4096, s, sigma=0.1).values for s in range(40)])
    parts = jax.vmap(semimartingale_split, in_axes=(0, None))(jnp.asarray(walks), jnp.asarray(4096))
    # [X] = n sigma^2 with relative sd sqrt(2/n) = .022 each; bipower sd sqrt(2.61/n) = .025.
    np.testing.assert_allclose(np.asarray(parts.quadratic_variation).mean(), 4095 * 0.01, rtol=0.012)
    np.testing.assert_allclose(np.asarray(parts.bipower_variation).mean(), 4095 * 0.01, rtol=0.012)
    assert float(parts.jump_share.mean()) < 0.03
    jumped = walks.copy()
    jumped[:, 2000:] += 5.0
    parts = jax.vmap(semimartingale_split, in_axes=(0, None))(jnp.asarray(jumped), jnp.asarray(4096))
    assert float(parts.jump_share.mean()) == pytest.approx(25.0 / (25.0 + 40.95), abs=0.03)


def test_a_line_is_all_drift() -> None:
    parts = split(3.0 * jnp.arange(64.0), jnp.asarray(64))
    assert float(parts.drift) == pytest.approx(3.0, rel=1e-12)
    assert float(parts.martingale_last) == pytest.approx(0.0, abs=1e-10)
    assert float(parts.finite_variation) == pytest.approx(189.0, rel=1e-12)


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_units(scale: float) -> None:
    x = processes.random_walk(64, 2).values
    plain, scaled = split(jnp.asarray(x), jnp.asarray(64)), split(jnp.asarray(scale * x), jnp.asarray(64))
    assert float(scaled.drift) == pytest.approx(scale * float(plain.drift), rel=1e-9)
    assert float(scaled.quadratic_variation) == pytest.approx(scale**2 * float(plain.quadratic_variation), rel=1e-9)
    assert float(scaled.jump_share) == pytest.approx(float(plain.jump_share), abs=1e-12)


def test_short_constant_and_broken_windows() -> None:
    x = jnp.asarray(processes.random_walk(64, 3).values)
    for count in (1, 2):
        assert all(float(v) == 0.0 for v in split(x, jnp.asarray(count)))
    assert all(float(v) == 0.0 for v in split(jnp.full(64, 7.0), jnp.asarray(64)))
    assert all(np.isnan(float(v)) for v in split(x.at[5].set(jnp.nan), jnp.asarray(64)))
    assert all(np.isfinite(float(v)) for v in split(x.at[5].set(jnp.nan), jnp.asarray(50)))
