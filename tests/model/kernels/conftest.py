"""A minimal causal frame that drives one kernel over a series, for the tests of every kernel."""

from __future__ import annotations

import pytest

from uspnb.testing import drive_kernel


@pytest.fixture
def drive():
    """`drive(kernel, config, values, learn=None) -> Driven`."""
    return drive_kernel
