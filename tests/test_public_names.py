"""What `import uspnb` gives: the public names, and at a tab nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import uspnb

HEAVY = (
    "pandas",
    "xarray",
    "scipy",
    "panel",
    "holoviews",
    "bokeh",
    "redis",
    "optuna",
    "distributed",
    "ipywidgets",
    "requests",
    "flax",
    "optax",
)


def test_completion_offers_the_public_names_and_nothing_else() -> None:
    assert dir(uspnb) == sorted(uspnb.__all__)


def test_every_public_name_is_there() -> None:
    for name in uspnb.__all__:
        assert getattr(uspnb, name) is not None, name


def test_importing_uspnb_leaves_the_heavy_libraries_alone() -> None:
    code = f"import json, sys, uspnb; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
