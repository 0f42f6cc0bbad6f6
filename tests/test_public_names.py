"""What `import uspnb` gives: the public names, and at a tab nothing else."""

from __future__ import annotations

import uspnb


def test_completion_offers_the_public_names_and_nothing_else() -> None:
    assert dir(uspnb) == sorted(uspnb.__all__)


def test_every_public_name_is_there() -> None:
    for name in uspnb.__all__:
        assert getattr(uspnb, name) is not None, name
