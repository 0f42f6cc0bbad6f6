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
from typing import Any

import tomlkit

from .load import fields_of, toml_value
from .meta_schema import (
    META_ABOUT,
    META_DECLARATIONS,
    META_DEFAULTS,
    META_SECTION,
    MetaOptimizationConfig,
    tuned_fields,
)
from .schema import DECLARATIONS, DEFAULTS, SECTIONS, Declaration, PredictorConfig, holds_numbers, names_range

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

`uspnb.mutate_config(path, {"cusum_k": 0.6}, trigger="by hand")` changes keys of a file and leaves everything else in it
as it is, to the byte. It validates the result and refuses what `[io]`, `[security]`, `[meta_optimization]` and locked
keys hold, more than ten changes an hour, and steps that are too large unless told `override_limit=True`: more than half
of a value; for a key that is tuned on a logarithmic scale, of the range tuned over; for one with at most ten levels,
more than one level. The file before each change is kept beside it (`config.toml.bak`, and the newest 50 with the time
in their names). Every change and refusal is a line of `io/mutations.log` beside the file, bound to the line before by
its SHA-256. `uspnb config validate FILE`, `history FILE` and `rollback FILE --to WHICH` check a file, show what
happened to it and take a change back.

Generated from the declarations of `uspnb/config/schema.py` by `python -m uspnb.config.template --markdown`.
"""

_MARKDOWN_RANGES = """\
Besides these, `NAME_min`, `NAME_max` and `NAME_step` set the range over which a campaign varies the key `NAME`, for
every key whose range stands under *tuned* above; what is left out is as it stands there. A range may be narrowed or
widened within the values that the key takes. A key searched on a logarithmic scale has no step.
`cusum_grace_period_steps` is another name of `grace_period_steps` here.

Nothing in this section is ever changed automatically.
"""


def render_template(config: PredictorConfig | None = None, meta: MetaOptimizationConfig | None = None) -> str:
    """The text of a `config.toml` that explains each of its keys.

    Args:
        config: the values to write; by default those of `PredictorConfig()`.
        meta: how campaigns run; by default as `MetaOptimizationConfig()` says.

    Returns:
        TOML that `load_config` reads back to `config`, and `load_meta_optimization_config` to `meta`.

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
    blocks.append(_meta_block(MetaOptimizationConfig() if meta is None else meta))
    return "\n".join(blocks).rstrip() + "\n"


def reference_table() -> str:
    """The Markdown page with one table of keys per section."""
    blocks = [_MARKDOWN_HEAD]
    for section, about in SECTIONS.items():
        rows = [f"## [{section}]", "", f"{about[:1].upper()}{about[1:]}.", ""]
        rows += ["| key | meaning | unit | values | default | compiled in | tuned |", "|---|---|---|---|---|---|---|"]
        rows += [_table_row(name) for name in fields_of(section)]
        blocks.append("\n".join(rows) + "\n")
    rows = [f"## [{META_SECTION}]", "", f"{META_ABOUT[:1].upper()}{META_ABOUT[1:]}.", ""]
    rows += ["| key | meaning | unit | values | default |", "|---|---|---|---|---|"]
    rows += [_meta_row(name) for name in META_DECLARATIONS]
    blocks += ["\n".join(rows) + "\n", _MARKDOWN_RANGES]
    return "\n".join(blocks)


def allowed_values(name: str) -> str:
    """The values that a field takes, in words: choices, a range, or true and false."""
    if name in DECLARATIONS:
        return _allowed(name, DECLARATIONS[name], DEFAULTS[name])
    return _allowed(name, META_DECLARATIONS[name], META_DEFAULTS[name])


def _allowed(name: str, about: Declaration, default: Any) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, tuple):
        rising = f"numbers in rising order, each {about.low:g} to {about.high:g}"
        return f"a list of {rising if holds_numbers(default) else names_range(name, about)}"
    if about.choices:
        return " or ".join(_plain(choice) for choice in about.choices)
    if isinstance(default, str):
        return "one line of text" + ("" if default else " or nothing")
    low, high = (_plain(type(default)(b)) if math.isfinite(b) else "" for b in (about.low, about.high))
    if low and high:
        return low if low == high else f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else "any number"


def _meta_block(meta: MetaOptimizationConfig) -> str:
    rows = [f"[{META_SECTION}]", _comment(META_ABOUT), ""]
    for name, about in META_DECLARATIONS.items():
        explained = _described(about, META_DEFAULTS[name], allowed_values(name))
        rows += [_comment(explained), f"{name} = {_plain(getattr(meta, name))}", ""]
    for name in tuned_fields():
        tier = getattr(DECLARATIONS[name].search, "tier", "")
        rows.append(_comment(f"range of {name}, tier {tier}; within {allowed_values(name)}"))
        for edge, value in zip(("min", "max", "step"), meta.range_of(name), strict=True):
            if value is not None:
                rows.append(f"{name}_{edge} = {_plain(value)}")
        rows.append("")
    return "\n".join(rows)


def _explained(name: str) -> str:
    return _described(DECLARATIONS[name], DEFAULTS[name], allowed_values(name))


def _described(about: Declaration, default: Any, allowed: str) -> str:
    unit = f" [{about.unit}]" if about.unit else ""
    locked = "; locked" if about.locked else ""
    return f"{about.meaning}{unit}; {allowed}; default {_plain(default)}{locked}"


def _meta_row(name: str) -> str:
    about = META_DECLARATIONS[name]
    return _row(about.meaning, about.unit, allowed_values(name), f"`{_plain(META_DEFAULTS[name])}`", name=name)


def _table_row(name: str) -> str:
    about = DECLARATIONS[name]
    tuned = ""
    if about.search is not None:
        scale = ", logarithmic" if about.search.log else ""
        step = f" step {about.search.step:g}" if about.search.step is not None else ""
        tuned = f"{about.search.tier}, {about.search.low:g} to {about.search.high:g}{step}{scale}"
    elif about.locked:
        tuned = "locked"
    compiled = "yes" if about.static else ""
    return _row(
        about.meaning, about.unit, allowed_values(name), f"`{_plain(DEFAULTS[name])}`", compiled, tuned, name=name
    )


def _row(*cells: str, name: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in (f'`{name}`', *cells))} |"


def _plain(value: Any) -> str:
    return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()


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
