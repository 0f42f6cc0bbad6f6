"""Python processes that know nothing of the settings under which the tests run."""

from __future__ import annotations

import os
import subprocess
import sys


def in_fresh_process(code: str, **environment: str) -> str:
    """What a process prints, on the CPU and without this one's JAX settings.

    Args:
        code: what it runs.
        environment: further variables.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XLA_", "PJRT_", "USPNB_", "COV_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=variables | {"JAX_PLATFORMS": "cpu"} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()
