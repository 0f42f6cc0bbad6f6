"""The commented `config.toml` and the reference table of the documentation, both derived from the declarations.

python -m uspnb.config.template > config.toml
python -m uspnb.config.template --markdown > docs/configuration.md
"""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Sequence

import tomlkit

from .load import fields_of, toml_value
from .schema import DECLARATIONS, DEFAULTS, SECTIONS, PredictorConfig

_HEAD = """\
# Configuration of uspnb.  Every key is optional: what is left out has its default.
# Each comment says what the key means [its unit]; which values it takes; its default.
# Generated from the declarations of uspnb/config/schema.py by `python -m uspnb.config.template`.
"""

_MARKDOWN_HEAD = """\
# Configuration

Every key of `config.toml`, by section. *Compiled in* marks what sets shapes or choices, so that changing it compiles
the step anew; every other key is an argument of the compiled step. *Tuned* says in which tier, and over what range, a
tuning campaign varies the key. Locked keys are never changed automatically.

Generated from the declarations of `uspnb/config/schema.py` by `python -m uspnb.config.template --markdown`.
"""


def render_template(config: PredictorConfig | None = None) -> str:
    """The text of a `config.toml` that explains each of its keys.

    Args:
        config: the values to write; by default those of `PredictorConfig()`.

    Returns:
        TOML that `load_config` reads back to `config`.

    Raises:
        ConfigError: a field holds an array or a traced value, which no file can hold.
    """
    config = PredictorConfig() if config is None else config
    blocks = [_HEAD]
    for section, about in SECTIONS.items():
        rows = [f"[{section}]", _comment(about), ""]
        for name in fields_of(section):
            rows += [_comment(_explained(name)), f"{name} = {toml_value(config, name)}", ""]
        blocks.append("\n".join(rows))
    return "\n".join(blocks).rstrip() + "\n"


def reference_table() -> str:
    """The Markdown page with one table of keys per section."""
    blocks = [_MARKDOWN_HEAD]
    for section, about in SECTIONS.items():
        rows = [f"## [{section}]", "", f"{about[:1].upper()}{about[1:]}.", ""]
        rows += ["| key | meaning | unit | values | default | compiled in | tuned |", "|---|---|---|---|---|---|---|"]
        rows += [_table_row(name) for name in fields_of(section)]
        blocks.append("\n".join(rows) + "\n")
    return "\n".join(blocks)


def allowed_values(name: str) -> str:
    """The values that a field takes, in words: choices, a range, or true and false."""
    about, default = DECLARATIONS[name], DEFAULTS[name]
    if isinstance(default, bool):
        return "true or false"
    if about.choices:
        return " or ".join(_plain(choice) for choice in about.choices)
    if isinstance(default, str):
        return "one line of text" + ("" if default else " or nothing")
    low, high = (_plain(type(default)(b)) if math.isfinite(b) else "" for b in (about.low, about.high))
    if low and high:
        return low if low == high else f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else "any number"


def _explained(name: str) -> str:
    about = DECLARATIONS[name]
    unit = f" [{about.unit}]" if about.unit else ""
    locked = "; locked" if about.locked else ""
    return f"{about.meaning}{unit}; {allowed_values(name)}; default {_plain(DEFAULTS[name])}{locked}"


def _table_row(name: str) -> str:
    about = DECLARATIONS[name]
    tuned = ""
    if about.search is not None:
        scale = ", logarithmic" if about.search.log else ""
        tuned = f"{about.search.tier}, {about.search.low:g} to {about.search.high:g}{scale}"
    elif about.locked:
        tuned = "locked"
    cells = (
        f"`{name}`",
        about.meaning,
        about.unit,
        allowed_values(name),
        f"`{_plain(DEFAULTS[name])}`",
        "yes" if about.static else "",
        tuned,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _plain(value: bool | int | float | str) -> str:
    return tomlkit.item(value).as_string()


def _comment(text: str) -> str:
    return textwrap.fill(text, 118, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the commented `config.toml`, or with `--markdown` the reference table."""
    parser = argparse.ArgumentParser(prog="python -m uspnb.config.template", description=main.__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the reference table of the documentation")
    chosen = parser.parse_args(arguments)
    sys.stdout.write(reference_table() if chosen.markdown else render_template())
    return 0


if __name__ == "__main__":
    sys.exit(main())
