"""Write environment.yml from requirements.txt, so that conda users get the same versions.

python .ci/environment.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

HEAD = """\
# The versions of requirements.txt for conda; written by `make pins`, do not edit.
#   conda env create -f environment.yml && conda activate uspnb && pip install --no-deps -e .
name: uspnb
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python>=3.11,<3.14
  - pip
  - pip:
"""


def pins(requirements: str) -> list[str]:
    """The lines `name==version [; marker]` of a compiled requirements file, without hashes and comments."""
    return [match[0].strip() for match in re.finditer(r"^[A-Za-z0-9][^#\\\n]*", requirements, re.MULTILINE)]


def render(requirements: str) -> str:
    """The text of environment.yml for the text of a compiled requirements file."""
    return HEAD + "".join(
        f"      - {pin!r}\n" if "'" not in pin else f'      - "{pin}"\n' for pin in pins(requirements)
    )


def main() -> int:
    """Write the file beside requirements.txt."""
    (ROOT / "environment.yml").write_text(render((ROOT / "requirements.txt").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
