"""A JupyterLab of its own for browser tests: private folders, a free loopback port, no network, an end for sure.

Loaded by path (see `test_jupyterlab.py`), because test folders are no packages.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import PATIENCE_S, until

# The news feed, the look for a newer JupyterLab and the listing of extensions would all ask hosts elsewhere.
OFFLINE = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/extensionmanager-extension/plugin": {"enabled": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


@dataclasses.dataclass
class JupyterServer:
    """A running JupyterLab.

    Attributes:
        address: where it listens, without a slash at the end.
        folder: what it serves; notebooks are copied there and exports appear there.
        log: what it printed.
    """

    address: str
    folder: Path
    log: Path

    def open(self, notebook: Path, name: str) -> str:
        """Copy a notebook under a name of its own and return the address that shows it."""
        shutil.copy(notebook, self.folder / f"{name}.ipynb")
        return f"{self.address}/doc/tree/{name}.ipynb"

    def running_kernels(self) -> list[str]:
        """Identifiers of the kernels that live."""
        with urllib.request.urlopen(f"{self.address}/api/kernels", timeout=PATIENCE_S) as answer:
            return [kernel["id"] for kernel in json.load(answer)]


@contextmanager
def jupyter_server(root: Path) -> Iterator[JupyterServer]:
    """Start `jupyter lab` with everything it writes under `root`, and end it with its kernels."""
    folder, log = root / "notebooks", root / "jupyter.log"
    folder.mkdir()
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *_arguments(port, folder)],
            cwd=folder,
            env=_environment(root),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for(address, process, log)
            yield JupyterServer(address, folder, log)
        finally:
            _end(process)


def _arguments(port: int, folder: Path) -> list[str]:
    return [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--ServerApp.disable_check_xsrf=True",
        "--expose-app-in-browser",
        *OFFLINE,
    ]


def _environment(root: Path) -> dict[str, str]:
    folders = {
        name: root / name.lower()
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    settings = root / "settings"
    for name, values in SETTINGS.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    for path in folders.values():
        path.mkdir()
    # Rank promotion is a check of our own code; in a kernel the user's settings hold.
    inherited = {k: v for k, v in os.environ.items() if k not in ("JAX_NUMPY_RANK_PROMOTION", "PYTEST_CURRENT_TEST")}
    return inherited | {
        **{name: str(path) for name, path in folders.items()},
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "JAX_PLATFORMS": "cpu",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/api/status", timeout=PATIENCE_S):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    until(lambda: process.poll() is not None or answers())
    if process.poll() is not None:
        raise RuntimeError(f"jupyter lab ended with {process.returncode}:\n{log.read_text()[-4000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server; its kernels are in its session's process groups, and it ends them when asked politely."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
