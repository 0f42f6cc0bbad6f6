"""A user's kernel that does what it must not: named by the battery, refused by name or kept out of the fusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from own_kernel import SMALL, Mean, registered
from walks import random_walk

import uspnb
from uspnb.errors import DomainError
from uspnb.model.kernels.base import KernelOutput
from uspnb.model.kernels.guard import without_failed
from uspnb.testing import check_kernel

FIRST, LAST = 100, 130  # ticks at which a kernel fails
CONFIG = uspnb.PredictorConfig(kernels=("ito_levy", "mine"), **SMALL)


@pytest.fixture(autouse=True)
def own_kernel() -> Iterator[None]:
    with registered():
        yield


class Changed(Mean):
    """`Mean` with something done to its step."""

    def __init__(self, change: Callable[..., Any]) -> None:
        self.change = change

    def step(self, config, state, inputs, key):  # type: ignore[override]
        new, output = Mean.step(config, state, inputs, key)
        return self.change(inputs, new, output)


def failing(what: str) -> Callable[..., Any]:
    """Fails from tick `FIRST` to tick `LAST`."""

    def change(inputs, state, output):
        bad = (inputs.ticks > FIRST) & (inputs.ticks <= LAST)
        if what == "state":
            return state._replace(average=jnp.where(bad, jnp.inf, state.average)), output
        value = 0.0 if what == "scale" else jnp.nan
        return state, output._replace(**{what: jnp.where(bad, value, getattr(output, what))})

    return change


@pytest.mark.parametrize("what", ["mean", "scale", "state"])
def test_a_kernel_that_fails_has_no_weight_and_comes_back(what: str) -> None:
    values = random_walk(220, 3)
    sound = uspnb.backtest(values, CONFIG)
    uspnb.register_kernel("mine", Changed(failing(what)))
    ds = uspnb.backtest(values, CONFIG)
    expected = np.zeros(len(values), bool)
    expected[FIRST:LAST] = True
    np.testing.assert_array_equal(ds["kernel_failed"].sel(kernel="mine"), expected)
    assert not ds["kernel_failed"].sel(kernel="ito_levy").any() and not sound["kernel_failed"].any()
    for name in ("prediction", "lower", "upper", "kernel_prediction", "kernel_scale", "weight"):
        assert np.isfinite(ds[name].values[1:]).all(), name
    weight = ds["weight"].sel(kernel="mine").values
    assert (weight[FIRST:LAST] == 0).all() and (weight[LAST:] > 0).all() and weight[LAST + 39] > 0.4
    np.testing.assert_allclose(ds["weight"].sum("kernel"), 1.0, atol=1e-12)
    # It forecasts the last value meanwhile, and nothing but what it learned then is lost.
    own = ds["kernel_prediction"].sel(kernel="mine").values
    np.testing.assert_array_equal(own[FIRST + 1 : LAST + 1], values[FIRST:LAST])
    np.testing.assert_array_equal(ds["prediction"][:FIRST], sound["prediction"][:FIRST])


def test_one_series_whose_kernel_fails_leaves_the_others_of_its_batch_alone() -> None:
    values = random_walk((160, 3), 5)
    values[:, 1] += 10.0 * np.arange(160)
    sound = uspnb.backtest(values, CONFIG)

    def change(inputs, state, output):  # of the second series alone the window begins far from its end
        return state, output._replace(mean=jnp.where(jnp.abs(inputs.path[0]) > 40.0, jnp.nan, output.mean))

    uspnb.register_kernel("mine", Changed(change))
    ds = uspnb.backtest(values, CONFIG)
    failed = ds["kernel_failed"].sel(kernel="mine").values
    assert failed[:, 1].any() and not failed[:, [0, 2]].any()
    for k in (0, 2):
        np.testing.assert_allclose(ds["prediction"].values[1:, k], sound["prediction"].values[1:, k], rtol=1e-12)
    assert np.isfinite(ds["prediction"].values[1:]).all()


def test_where_all_have_failed_the_last_value_is_the_forecast() -> None:
    uspnb.register_kernel("mine", Changed(failing("mean")))
    values = random_walk(160, 3)
    ds = uspnb.backtest(values, uspnb.PredictorConfig(kernels=("mine",), **SMALL))
    np.testing.assert_array_equal(ds["prediction"].values[FIRST + 1 : LAST + 1], values[FIRST:LAST])


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ([False, True, False], [0.25, 0.0, 0.75]),
        ([False, True, True], [1.0, 0.0, 0.0]),
        ([True, False, True], [0.0, 1.0, 0.0]),
        ([True, True, True], [0.2, 0.2, 0.6]),
        ([False, False, False], [0.2, 0.2, 0.6]),
    ],
)
def test_weights_are_shared_out_among_those_that_have_not_failed(failed: list[bool], expected: list[float]) -> None:
    shared = without_failed(jnp.array([0.2, 0.2, 0.6]), jnp.array(failed))
    np.testing.assert_allclose(shared, expected, atol=1e-15)


def test_those_that_are_left_without_weight_share_it_evenly() -> None:
    shared = without_failed(jnp.array([0.0, 1.0, 0.0]), jnp.array([False, True, False]))
    np.testing.assert_allclose(shared, [0.5, 0.0, 0.5], atol=1e-15)


def raises(inputs, state, output):
    raise ZeroDivisionError("by design")


def counted() -> Callable[..., Any]:
    """A kernel that counts its calls beside its state."""
    calls = [0.0]

    def change(inputs, state, output):
        calls[0] += 1.0
        return state, output._replace(mean=output.mean + 1e-6 * calls[0])

    return change


REFUSED = {
    "raises": (raises, "step of the kernel 'mine' raised ZeroDivisionError: by design"),
    "a scalar": (lambda i, s, o: (s, o._replace(mean=o.mean[0])), r"shapes \(\) and \(1,\), not \(2,\) or \(1,\)"),
    "two": (lambda i, s, o: (s, o._replace(scale=jnp.ones(2))), r"shapes \(1,\) and \(2,\)"),
    "whole numbers": (lambda i, s, o: (s, o._replace(mean=jnp.zeros(1, int))), "dtypes int64 and float64"),
    "a state's dtype": (lambda i, s, o: (s._replace(average=jnp.zeros((), int)), o), r"float64\(\) to int64\(\)"),
    "a state's kind": (lambda i, s, o: ((s, s), o), "a state of another structure"),
    "a tuple": (lambda i, s, o: (s, tuple(o)), "returns a tuple where a KernelOutput belongs"),
    "diagnostics": (lambda i, s, o: (s, o._replace(diagnostics=o.mean)), "the diagnostics are no NamedTuple"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_run_is_refused_by_name_at_the_start(fault: str) -> None:
    change, words = REFUSED[fault]
    uspnb.register_kernel("mine", Changed(change))
    with pytest.raises(DomainError, match=rf"the kernel 'mine'.*{words}|{words}") as refusal:
        uspnb.backtest(random_walk(30, 1), CONFIG)
    assert "'mine'" in str(refusal.value) and "check_kernel" in str(refusal.value)


def test_an_init_that_raises_is_refused_by_name() -> None:
    class Broken(Mean):
        @staticmethod
        def init(config, key):
            raise KeyError("weights")

    uspnb.register_kernel("mine", Broken)
    with pytest.raises(DomainError, match=r"init of the kernel 'mine' raised KeyError: 'weights'"):
        uspnb.backtest(random_walk(30, 1), CONFIG)
    with pytest.raises(AssertionError, match=r"^keeps_the_structure_of_its_state: the kernel raised KeyError"):
        check_kernel(Broken)


def forgets_to_ask(inputs, state, output):
    """Learns from every increment."""
    average = state.average + 0.05 * (jnp.clip(inputs.increment, -6.0, 6.0) - state.average)
    return state._replace(average=average), output


class Own(Mean):
    """Holds what it learned itself."""

    def __init__(self) -> None:
        self.last = 0.0

    def step(self, config, state, inputs, key):  # type: ignore[override]
        self.last = inputs.increment
        return Mean.step(config, state, inputs, key)


NAMED = {
    "raises": (Changed(raises), "keeps_the_structure_of_its_state: the kernel raised ZeroDivisionError"),
    "shape": (Changed(REFUSED["a scalar"][0]), "keeps_the_structure_of_its_state: mean and scale have the shapes"),
    "dtype": (Changed(REFUSED["whole numbers"][0]), "keeps_the_structure_of_its_state: .* dtypes int64"),
    "NaN": (Changed(failing("mean")), "stays_finite: a mean is not finite"),
    "NaN in its state": (Changed(failing("state")), "stays_finite: "),
    "learns": (Changed(forgets_to_ask), "ignores_an_increment_that_must_not_be_learned"),
    "counts": (Changed(counted()), "has_no_state_of_its_own: step gives two results"),
    "holds": (Own(), "has_no_state_of_its_own: init or step changes the kernel's own last"),
    "random": (
        Changed(lambda i, s, o: (s, o._replace(mean=o.mean + 1e-3 * np.random.default_rng().normal()))),
        "has_no_state_of_its_own",
    ),
}


@pytest.mark.parametrize("fault", NAMED)
def test_the_battery_names_the_fault(fault: str) -> None:
    kernel, words = NAMED[fault]
    with pytest.raises(AssertionError, match=f"^{words}"):
        check_kernel(kernel)


def test_a_network_in_single_precision_may_forecast() -> None:
    def change(inputs, state, output):
        return state, KernelOutput(output.mean.astype("float32"), output.scale.astype("float32"), output.diagnostics)

    uspnb.register_kernel("mine", Changed(change))
    assert np.isfinite(uspnb.backtest(random_walk(40, 1), CONFIG)["prediction"].values[1:]).all()
