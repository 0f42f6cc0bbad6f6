"""The browser's half of the widgets: bundles that are committed, built from `widgets/js` by a pinned esbuild."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from uspnb.widgets import front_end

FOLDER = Path(__file__).parents[2] / "widgets" / "js"
BUNDLES = sorted(path.stem for path in (FOLDER / "dist").glob("*.js"))
NO_NETWORK = {"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "ETIMEDOUT", "ENOTCACHED"}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_one_module_that_asks_nobody_for_anything(name: str) -> None:
    source = front_end.bundle(name)
    assert len(re.findall(r"(?:^|[;}])export\{", source)) == 1
    assert not re.search(r"(?:^|[;}])import\b|\bimport\(|\brequire\(|\bfetch\(|XMLHttpRequest|WebSocket", source)
    assert set(re.findall(r"https?://[^\"'`]+", source)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", ["live_view", "fleet_view", "tuning_view"])
def test_a_style_sheet_fetches_nothing(name: str) -> None:
    assert "url(" not in front_end.style(name) and "@import" not in front_end.style(name)


def test_esbuild_has_one_exact_version_and_the_lock_file_names_no_host() -> None:
    lock = (FOLDER / "package-lock.json").read_text()
    wanted = json.loads((FOLDER / "package.json").read_text())["devDependencies"]
    assert list(wanted) == ["esbuild"] and re.fullmatch(r"\d+\.\d+\.\d+", wanted["esbuild"])
    packages = json.loads(lock)["packages"]
    assert packages["node_modules/esbuild"]["version"] == wanted["esbuild"]
    assert all("integrity" in package for path, package in packages.items() if path)
    assert "resolved" not in lock and "://" not in lock.replace("https://opencollective.com", "")


def test_the_bundles_are_those_of_their_sources(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here, so the bundles are not built anew")
    copy = tmp_path / "js"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("dist", "node_modules"))
    install = [npm, "ci", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(install, cwd=copy, capture_output=True, text=True, check=False)
    if installed.returncode:
        code = re.search(r"npm (?:error|ERR!) code (\w+)", installed.stderr)
        if code and code[1] in NO_NETWORK:
            pytest.skip(f"npm cannot fetch esbuild here ({code[1]}), so the bundles are not built anew")
        pytest.fail(installed.stderr)
    built = subprocess.run([npm, "run", "build"], cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert sorted(path.stem for path in (copy / "dist").iterdir()) == BUNDLES
    for name in BUNDLES:
        fresh = (copy / "dist" / f"{name}.js").read_bytes()
        assert fresh == (FOLDER / "dist" / f"{name}.js").read_bytes(), f"{name}.js is out of date: make bundle"
