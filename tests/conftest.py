"""Settings of every test run, made before anything imports JAX or uspnb.

Shapes and types in the signatures of uspnb are checked at each call (jaxtyping with beartype), implicit rank promotion
raises, and compiled programs are kept between runs so that only changed code compiles again.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

if "jax" in sys.modules or "uspnb" in sys.modules:
    raise RuntimeError("jax or uspnb was imported before tests/conftest.py, whose settings would then be ignored")

_ROOT = Path(__file__).resolve().parent.parent
_CACHE = _ROOT / ".pytest_cache" / "xla"

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("USPNB_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# What tests compile themselves is made as the package's own programs are (`programs.CPU_CODE`), in half the time.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1")

# A shell starts what runs in the background deaf to Ctrl-C, and servers that tests start and interrupt inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from beartype import BeartypeConf, beartype  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

# Everywhere else `float` accepts an int (PEP 484).  jaxtyping takes the checker by its importable name only.
_checker = types.ModuleType("uspnb_signature_checker")
vars(_checker)["check"] = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[_checker.__name__] = _checker
install_import_hook(
    [
        ".".join(path.relative_to(_ROOT).with_suffix("").parts)
        for path in sorted((_ROOT / "uspnb").rglob("*.py"))
        # A package's name would take in all its modules.  `PredictorConfig` holds tracers in its `float` fields while
        # JAX traces it, and checks its values itself.
        if path.stem != "__init__" and path != _ROOT / "uspnb" / "config" / "schema.py"
    ],
    f"{_checker.__name__}.check",
)

# One sequence of examples for everybody: a failure on CI is a failure here.  No deadline, because the first example
# compiles; no example database, because derandomised runs do not read it.
settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", settings.get_profile("ci"), derandomize=False, max_examples=2000)  # `make soak`
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# An eighth of a large machine for each process: a file that finds its programs there need not trace them anew.
LARGEST_BYTES = max(1_500_000_000, psutil.virtual_memory().total // 8)

pytest_plugins = ("synthetic_runs",)  # after the settings above, because it imports uspnb


def pytest_configure(config: pytest.Config) -> None:
    """Turn our own warnings into errors; a test that expects one says so with `pytest.warns`."""
    # Not in pyproject.toml: there pytest would import uspnb before this file has set anything.
    for name in ("StalenessWarning", "FrequencyWarning"):
        config.addinivalue_line("filterwarnings", f"error::uspnb.errors.{name}")


class FailuresAtOnce:
    """Prints each failure when it happens: a run that is ended by its time limit says what it had found."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the test's name and the end of its trace."""
        if report.failed:
            self.terminal.ensure_newline()
            self.terminal.write_line(f"{report.nodeid} failed in {report.when} after {report.duration:.0f} s:")
            self.terminal.write_line(report.longreprtext[-3000:])


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Failures are printed at once by the process that has the terminal, not by its workers."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(FailuresAtOnce(terminal))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders with the slowest files first, so that no worker is left alone with one of them at the end."""
    slowest = ["tuning", "predictor", "model", "engine", "browser"]

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(_ROOT).parts[1]
        return -slowest.index(folder) if folder in slowest else 1

    items.sort(key=place)


@pytest.fixture(scope="module", autouse=True)
def forgotten_programs() -> Iterator[None]:
    """Let go of compiled programs after a file of tests, where the process is large; the disk still has them."""
    yield
    import jax

    if is_large():
        jax.clear_caches()
        gc.collect()
        give_back()


@pytest.fixture(scope="module", autouse=True)
def no_reader_left() -> Iterator[None]:
    """A file of tests closes the sources that it opens; a page that is left closes its own within seconds."""
    from waiting import NewThreads, until

    readers = NewThreads("uspnb source")
    yield
    until(lambda: not readers.names(), patience_s=120.0)


@pytest.fixture(autouse=True)
def returned_memory() -> Iterator[None]:
    """Give back to the system what a test freed, where the process is large."""
    yield
    if is_large():
        give_back()


def is_large() -> bool:
    """Whether this process holds more memory than it should."""
    return psutil.Process().memory_info().rss > LARGEST_BYTES


def give_back() -> None:
    """Hand freed memory to the system: glibc keeps the gigabyte that a compilation took and freed for the next one."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no such function, and need not
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def cluster_client() -> Iterator[Any]:
    """The client of a Dask cluster of two workers, each a process of its own that is started anew when it dies."""
    import dask.config
    from distributed import Client, LocalCluster

    with (
        # A slow machine needs longer than the 15 s after which the cluster would give up a worker that starts anew.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 h"}),
        LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        # Entering the client itself would make it Dask's default for every test that follows, xarray's writers too.
        contextlib.closing(Client(cluster, set_as_default=False)) as client,
    ):
        yield client


@pytest.fixture
def two_workers(cluster_client: Any) -> Any:
    """The same, with both of its workers there."""
    cluster_client.wait_for_workers(2)
    return cluster_client


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder of the project."""
    return _ROOT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 512 KiB; whoever may not mount skips, and says so."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount command here, so no small disk; the injected errors are tested all the same")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=512k", "uspnb-test", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip(f"this machine does not let us mount a small disk: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)
