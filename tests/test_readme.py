"""The README's Python runs as it stands there, and its relative links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_python_of_the_readme_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    live, tuning, plain, beyond = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(compile(live, "README.md", "exec"), names)
    names["session"].wait(phase="paused")
    assert names["session"].status.ticks == 510
    names["session"].close()
    exec(compile(plain, "README.md", "exec"), names)
    assert "uspnb" in capsys.readouterr().out
    assert names["ds"].sizes["time"] == len(names["values"])
    assert float(names["result"].reference_prediction) == pytest.approx(names["values"][500], abs=2.0)
    exec(compile(beyond, "README.md", "exec"), names)
    assert names["fan"].sizes["horizon"] == 48 and names["ds"].sizes["horizon"] == 3
    # The same with fewer trials on fewer ticks; a campaign of 200 takes a minute.
    assert tuning.count("optimize(200)") == 1
    names["values"] = names["values"][:600]
    exec(compile(tuning.replace("optimize(200)", "optimize(8)"), "README.md", "exec"), names)
    assert names["result"].total_iterations == 8
    assert "Tuning campaign load" in capsys.readouterr().out


@pytest.mark.slow
def test_python_of_the_page_on_extending_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(code, "extending.md", "exec"), names)
    assert list(names["ds"]["kernel"].values)[-1] == "mean" and names["ds"].sizes["kernel"] == 5
    assert 0.0 < float(capsys.readouterr().out) < 1.0


def test_relative_links_of_the_readme_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []
