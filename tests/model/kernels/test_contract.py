"""What every kernel must do, whatever it is: the public battery, over all of the package's own, and seen to fail."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.kernels.base import KernelInputs, KernelOutput
from uspnb.model.kernels.registry import COMMON, KERNEL_NAMES, kernel_entry
from uspnb.testing import DEMANDS, Demand, check_kernel


@pytest.mark.parametrize("demand", DEMANDS, ids=lambda demand: demand.__name__)
@pytest.mark.parametrize("name", [*KERNEL_NAMES, COMMON])
def test_a_kernel_meets_a_demand(name: str, demand: Demand) -> None:
    demand(kernel_entry(name).kernel, PredictorConfig())


class Altered:
    """A kernel of the package with something done to its output at every tick."""

    def __init__(self, name: str, change: Callable[[KernelInputs, KernelOutput], KernelOutput]) -> None:
        self.kernel, self.change = kernel_entry(name).kernel, change

    def init(self, config, key):
        return self.kernel.init(config, key)

    def step(self, config, state, inputs, key):
        state, output = self.kernel.step(config, state, inputs, key)
        return state, self.change(inputs, output)


FAULTS = {
    "keeps_the_structure_of_its_state": lambda inputs, out: out._replace(mean=out.mean[0]),
    "stays_finite": lambda inputs, out: out._replace(scale=jnp.zeros_like(out.scale)),
    "ignores_an_increment_that_must_not_be_learned": lambda inputs, out: out._replace(
        mean=out.mean + 1e-6 * inputs.increment
    ),
    "learns": lambda inputs, out: out._replace(mean=jnp.zeros_like(out.mean)),
    "costs_little_on_a_random_walk": lambda inputs, out: out._replace(mean=out.mean + 0.3),
}


@pytest.mark.parametrize("demand", FAULTS)
def test_a_kernel_that_does_not_is_told_which_demand(demand: str) -> None:
    with pytest.raises(AssertionError, match=f"^{demand}: "):
        check_kernel(Altered("ito_levy", FAULTS[demand]))
