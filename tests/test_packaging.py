"""What is installed is what is written down: ranges, pins, conda's copy of them, the wheel, and no private traces."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12", "3.13")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def project_table(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


def compiled(path: Path) -> dict[str, Requirement]:
    """The pins of a compiled requirements file by canonical name; each must have hashes."""
    pins: dict[str, Requirement] = {}
    text = path.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement, _, hashes = line.partition(" --hash")
        assert HASH.findall("--hash" + hashes), f"{path.name}: {requirement} has no hash"
        pin = Requirement(requirement.strip())
        assert canonicalize_name(pin.name) not in pins, f"{path.name}: {pin.name} is pinned twice"
        pins[canonicalize_name(pin.name)] = pin
    return pins


def version_of(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


def test_pin_files_agree(project_root: Path) -> None:
    small, large = compiled(project_root / "requirements.txt"), compiled(project_root / "requirements-test.txt")
    assert len(small) > 50
    for name, pin in small.items():
        assert str(pin) == str(large[name])


def test_conda_environment_agrees(project_root: Path) -> None:
    environment = yaml.safe_load((project_root / "environment.yml").read_text())
    (pip_section,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    listed = {canonicalize_name(pin.name): str(pin) for pin in map(Requirement, pip_section)}
    pinned = {name: str(pin) for name, pin in compiled(project_root / "requirements.txt").items()}
    assert listed == pinned
    assert len(pip_section) == len(pinned)


def test_conda_environment_is_generated(project_root: Path) -> None:
    spec = importlib.util.spec_from_file_location("environment", project_root / ".ci" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (project_root / "environment.yml").read_text()
    assert written == module.render((project_root / "requirements.txt").read_text()), "run `make pins`"


@pytest.mark.parametrize(
    ("file", "extras"), [("requirements.txt", ("demo",)), ("requirements-test.txt", ("demo", "test", "dev"))]
)
def test_every_direct_dependency_is_pinned_within_its_range(
    file: str, extras: tuple[str, ...], project_root: Path
) -> None:
    table = project_table(project_root)
    direct = list(table["project"]["dependencies"]) + list(table["dependency-groups"]["build"])
    for extra in extras:
        direct += table["project"]["optional-dependencies"][extra]
    pins = compiled(project_root / file)
    for text in direct:
        wanted = Requirement(text)
        pin = pins[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version_of(pin)), f"{pin} is outside {wanted}"
        assert pin.marker is None, f"{pin} is not installed everywhere"


def test_ranges_have_a_lower_bound(project_root: Path) -> None:
    table = project_table(project_root)["project"]
    for text in itertools.chain(table["dependencies"], *table["optional-dependencies"].values()):
        operators = {specifier.operator for specifier in Requirement(text).specifier}
        assert ">=" in operators, f"{text} was tested from some version on; say which"


def test_gpu_extra_has_the_same_range_of_jax(project_root: Path) -> None:
    table = project_table(project_root)["project"]
    (cpu,) = (Requirement(text) for text in table["dependencies"] if Requirement(text).name == "jax")
    (gpu,) = map(Requirement, table["optional-dependencies"]["gpu"])
    assert gpu.name == "jax"
    assert gpu.specifier == cpu.specifier
    assert gpu.extras


def test_python_versions_are_stated_alike(project_root: Path) -> None:
    table = project_table(project_root)
    assert table["project"]["requires-python"] == f">={PYTHONS[0]}"
    stated = [text.rsplit(" ", 1)[1] for text in table["project"]["classifiers"] if "Python :: 3." in text]
    assert tuple(stated) == PYTHONS
    assert table["tool"]["ruff"]["target-version"] == f"py{PYTHONS[0].replace('.', '')}"
    assert table["tool"]["pyright"]["pythonVersion"] == PYTHONS[0]


def test_imports_of_the_package_are_declared(project_root: Path) -> None:
    """Every third-party module that uspnb imports is a direct dependency, or of an extra where the import is lazy."""
    table = project_table(project_root)["project"]
    always = {canonicalize_name(Requirement(text).name) for text in table["dependencies"]}
    extras = table["optional-dependencies"]
    optional = {canonicalize_name(Requirement(text).name) for text in [*extras["demo"], *extras["cluster"]]}
    brings = metadata.packages_distributions()  # pynvml comes with nvidia-ml-py
    for path in sorted([*(project_root / "uspnb").rglob("*.py"), *(project_root / "widgets").rglob("*.py")]):
        tree = ast.parse(path.read_text())
        top_level = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"uspnb"}:
                allowed = always if id(node) in top_level else always | optional
                sold_as = {canonicalize_name(dist) for dist in brings.get(name, [name])}
                assert sold_as & allowed, f"{path.name} imports {name}, which pyproject.toml omits"


def test_wheel_holds_the_package_and_its_data(project_root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (project_root / name).exists():
            shutil.copy(project_root / name, source / name)
    for folder in ("uspnb", "widgets"):
        unwanted = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(project_root / folder, source / folder, ignore=unwanted)
    subprocess.run(
        [sys.executable, "-c", "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])", str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "uspnb = uspnb.cli:main" in archive.read(entry_points).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    expected = {path.relative_to(source) for path in (source / "uspnb").rglob("*") if path.is_file()}
    assert {path.suffix for path in expected} <= {".py", ".npz", ".json", ".typed"}
    # Of the front ends the bundles are installed, not what they are made of.
    bundled = {path for path in (source / "widgets" / "js").rglob("*") if path.parent.name != "dist"}
    widgets = {path for path in (source / "widgets").rglob("*") if path.is_file()} - bundled
    expected |= {Path("uspnb") / path.relative_to(source) for path in widgets}
    assert held == {path.as_posix() for path in expected}, "files of the project that no installed copy has, or others"


def test_every_package_is_listed(project_root: Path) -> None:
    """Setuptools takes a list, because the widgets stand outside uspnb/."""
    table = project_table(project_root)["tool"]["setuptools"]
    folders = [path.parent.relative_to(project_root) for path in (project_root / "uspnb").rglob("__init__.py")]
    widgets = [path.parent.relative_to(project_root) for path in (project_root / "widgets").rglob("__init__.py")]
    names = {".".join(path.parts) for path in folders} | {"uspnb." + ".".join(path.parts) for path in widgets}
    assert sorted(table["packages"]) == sorted(names)
    assert table["package-dir"] == {"uspnb." + ".".join(path.parts): path.as_posix() for path in widgets}


def project_files(root: Path) -> list[Path]:
    """Files that git tracks or would track, so that a trace is found before it is committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [root / name for name in sorted(set(listed.decode().split("\0"))) if name and (root / name).is_file()]


# Each pattern is written so that it does not match itself.
PRIVATE = re.compile(
    rb"(?<![\w.$})-])/(?:wor[k]|roo[t]|tm[p]|hom[e]|User[s])(?:/|\b)"
    rb"|pypi\.(?:or[g]|pytho[n])|pythonhoste[d]\.|registry\.(?:npmj[s]|yarnpk[g])|nodejs\.or[g]/dist"
    rb"|(?:deb|security|ftp)\.debia[n]\.|(?:archive|security)\.ubunt[u]\.|conda\.anacond[a]\."
    rb"|(?:index-ur[l]|extra-inde[x]-url|find-link[s])[ =]+\S*[:/]"
)


@pytest.mark.parametrize(
    ("text", "private"),
    [
        (b"see " + b"/wor" + b"k/main", True),
        (b'"' + b"/tm" + b'p/x"', True),
        (b"~" + b"/roo" + b"t", True),
        (b"https://pypi" + b".org/simple", True),
        (b"--index-ur" + b"l https://example.com", True),
        (b"docs/work/plan and a/b/tmp_path", False),
        (b"the root of the tree; work/home", False),
    ],
)
def test_the_pattern_finds_what_it_should(text: bytes, private: bool) -> None:
    assert bool(PRIVATE.search(text)) is private


def test_no_file_names_a_machine_or_a_registry(project_root: Path) -> None:
    found = []
    for path in project_files(project_root):
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            if match := PRIVATE.search(line):
                found.append(f"{path.relative_to(project_root)}:{number}: {match[0].decode(errors='replace')}")
    assert found == []


def test_no_ignored_file_is_tracked(project_root: Path) -> None:
    project_files(project_root)
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    tracked = subprocess.run(command, cwd=project_root, check=True, capture_output=True, text=True).stdout
    assert tracked.split() == [], "take them out with `git rm --cached`"


def test_makefile_help_names_every_target(project_root: Path) -> None:
    text = (project_root / "Makefile").read_text()
    public = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()) - {"help", "install", "install-test"}  # type: ignore[index]
    assert all(re.search(rf"^# make .*\b{target}\b", text, re.MULTILINE) for target in public)
    assert (
        shutil.which("make") is None
        or "make run"
        in subprocess.run(
            ["make", "--no-print-directory", "help"],
            cwd=project_root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_old_or_missing_python_is_named(project_root: Path, tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    # Answers the version question of the Makefile as Python 3.9 would.
    old.write_text('#!/bin/sh\ncase "$1" in --version) echo "Python 3.9.1";; *) exit 1;; esac\n')
    old.chmod(0o755)
    for python, message in (
        (str(old), "is Python 3.9.1"),
        ("python-that-is-absent", "there is no python-that-is-abse"),
    ):
        done = subprocess.run(
            ["make", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", "install"],
            cwd=project_root,
            capture_output=True,
            text=True,
        )
        assert done.returncode != 0
        assert "needs Python 3.11 or newer" in done.stderr
        assert message in done.stderr
    assert not (tmp_path / "venv").exists()


def test_ci_script_is_sound(project_root: Path) -> None:
    script = project_root / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "must be executable"
    assert "set -euo pipefail" in script.read_text()
    if bash := shutil.which("bash"):
        subprocess.run([bash, "-n", str(script)], check=True)
