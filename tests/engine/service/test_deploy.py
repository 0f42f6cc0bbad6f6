"""The files of `deploy/`: valid, and in the order that matters."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from uspnb.config.schema import DEFAULTS


@pytest.fixture(scope="module")
def deploy(project_root: Path) -> Path:
    """The folder."""
    return project_root / "deploy"


def test_script_is_valid_bash_and_executable(deploy: Path) -> None:
    script = deploy / "run_predictor.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)


def run_script(deploy: Path, tmp_path: Path, **environment: str) -> tuple[dict[str, str], list[str]]:
    """Variables and arguments that the program gets which the script becomes."""
    program = tmp_path / "uspnb"
    program.write_text(f"#!{sys.executable}\nimport os, sys\nprint(dict(os.environ))\nprint(sys.argv[1:])\n")
    program.chmod(0o755)
    plain = {"PATH": os.environ["PATH"], "USPNB": str(program)} | environment
    done = subprocess.run(
        [str(deploy / "run_predictor.sh"), "--source", "two words", "--once"],
        env=plain,
        capture_output=True,
        text=True,
        check=True,
    )
    variables, arguments = done.stdout.splitlines()
    return eval(variables), eval(arguments)  # what this test itself has printed


def test_variables_are_there_before_python_starts(deploy: Path, tmp_path: Path) -> None:
    variables, arguments = run_script(deploy, tmp_path)
    assert arguments == ["run", "--source", "two words", "--once"]
    assert variables["XLA_PYTHON_CLIENT_ALLOCATOR"] == "platform"
    assert variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.7"
    assert variables["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert variables["PJRT_NPROC"] == "1"


def test_what_the_environment_holds_stays_and_the_fraction_has_one_name(deploy: Path, tmp_path: Path) -> None:
    variables, _ = run_script(
        deploy, tmp_path, XLA_CLIENT_MEM_FRACTION="0.5", XLA_PYTHON_CLIENT_ALLOCATOR="bfc", PJRT_NPROC="2"
    )
    # JAX refuses to start where both names are set.
    assert variables["XLA_CLIENT_MEM_FRACTION"] == "0.5" and "XLA_PYTHON_CLIENT_MEM_FRACTION" not in variables
    assert variables["XLA_PYTHON_CLIENT_ALLOCATOR"] == "bfc" and variables["PJRT_NPROC"] == "2"


def test_unit_gives_more_time_than_the_budget(deploy: Path) -> None:
    unit = (deploy / "uspnb.service").read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop is not None and int(stop[1]) > DEFAULTS["shutdown_budget_s"]
    assert re.search(r"^User=uspnb$", unit, re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze on this machine")
def test_unit_is_valid(deploy: Path, tmp_path: Path) -> None:
    unit = (deploy / "uspnb.service").read_text().replace("/opt/uspnb/deploy/run_predictor.sh", "/bin/true")
    copy = tmp_path / "uspnb.service"
    copy.write_text(unit)
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "uspnb.service" in line]
    assert done.returncode == 0 and complaints == [], done.stderr


def test_container_runs_as_a_user_with_the_pins_and_a_health_check(deploy: Path, project_root: Path) -> None:
    lines = (deploy / "Containerfile").read_text().splitlines()
    instructions = [line.split()[0] for line in lines if re.match(r"[A-Z]+ ", line)]
    assert {"USER", "HEALTHCHECK", "ENTRYPOINT", "STOPSIGNAL", "VOLUME"} <= set(instructions)
    assert instructions.index("USER") < instructions.index("ENTRYPOINT")
    text = "\n".join(lines)
    # Warmed as the user that runs it, in the folder that it reads, and before the volume: later changes are dropped.
    assert re.search(
        r"^USER uspnb$.*^ENV USPNB_CACHE_DIR=/var/lib/uspnb/.*^RUN uspnb warm$.*^VOLUME", text, re.M | re.S
    )
    assert "--require-hashes --no-deps -r requirements.txt" in text and "USER uspnb" in text
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((project_root / name).exists() for name in copied.split()), copied
    assert f":{DEFAULTS['metrics_port']}/healthz" in text
