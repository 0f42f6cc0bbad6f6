"""Every name in single backquotes in a docstring is a name of something: what is renamed is renamed there too."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import importlib
import inspect
import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy
import pandas

import uspnb
from uspnb.config.meta_schema import METRICS
from uspnb.config.schema import DECLARATIONS
from uspnb.model.fields import FIELDS, VIEW_FIRST, VIEW_LAST, variables

ROOTS = (Path(uspnb.__file__).parent, Path(uspnb.__file__).parent.parent / "widgets")
QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
# Files that programs write or read; a source file must be there.
FILE = re.compile(r"[\w.]+\.(toml|json|jsonl|npz|bak|log|sha256|nc|zarr|py|js)")
# Of other packages, as everybody calls them.
LIBRARIES = (builtins, jax, jax.lax, numpy, pandas)
ENVIRONMENT = re.compile(r"(USPNB|JAX|XLA)_[A-Z_]+")
# Redis's own settings, HTTP's header, an argument of HoloViews, anywidget's front end, a placeholder for any name.
ELSEWHERE = {
    "appendonly", "appendfsync", "Authorization", "inline", "model.send_msg", "NAME_min", "NAME_max", "NAME_step",
}  # fmt: skip


class Docstring(NamedTuple):
    """A docstring, the module that it stands in, the classes around it, and names of its own: arguments, attributes."""

    path: Path
    module: str
    owners: tuple[str, ...]
    names: frozenset[str]
    text: str
    line: int


def module_name(path: Path, root: Path) -> str:
    parts = [*path.relative_to(root).with_suffix("").parts]
    top = ["uspnb"] if root.name == "uspnb" else ["uspnb", "widgets"]
    return ".".join([*top, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def docstrings() -> Iterator[Docstring]:
    for root in ROOTS:
        for path in sorted(root.rglob("*.py")):
            if "node_modules" not in path.parts:
                tree = ast.parse(path.read_text(encoding="utf-8"))
                yield from _of_node(tree, path, module_name(path, root), (), frozenset())


def _of_node(node: Any, path: Path, module: str, owners: tuple[str, ...], names: frozenset[str]) -> Iterator[Docstring]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        names = names | {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        names = names | {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if isinstance(node, ast.ClassDef):
        owners = (*owners, node.name)
        init = next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
        names = names | ({a.arg for a in ast.walk(init.args) if isinstance(a, ast.arg)} if init else set())
        names = names | {
            n.attr
            for n in ast.walk(node)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"
        }
        fields = (n.target for n in node.body if isinstance(n, ast.AnnAssign))
        names = names | {target.id for target in fields if isinstance(target, ast.Name)}
        names = names | {f.name for f in node.body if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef))}
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        text = ast.get_docstring(node)
        if text:
            yield Docstring(path, module, owners, names, text, getattr(node, "lineno", 1))
        for child in node.body:
            yield from _of_node(child, path, module, owners, names)


@functools.cache
def loaded(module: str) -> ModuleType | None:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


@functools.cache
def words_of(path: Path) -> frozenset[str]:
    """Arguments, attributes and words of short texts in a module: its keys, columns and environment variables."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "`" not in node.value:
            found |= set(re.findall(r"\w+", node.value)) if len(node.value) < 80 else set()
    return frozenset(found)


@functools.cache
def names_of_the_package() -> frozenset[str]:
    """Modules, what they define at their top, and methods."""
    found: set[str] = set()
    for path in (path for root in ROOTS for path in root.rglob("*.py")):
        found |= {path.stem, path.parent.name}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                found.add(node.name)
                found |= {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return frozenset(found)


def resolves(name: str, doc: Docstring) -> bool:
    """Whether a name is in scope where it stands, or names something of the package or of a library."""
    parts = name.split(".")
    head, last = parts[0], parts[-1]
    words = words_of(doc.path)
    if head in doc.names or head in words:  # an argument, a key or an attribute, or something of one of them
        return True
    module = loaded(doc.module)
    if re.search(rf"^ +(\w+, )*{head}(, \w+)*: ", doc.text, re.MULTILINE):  # an entry of "Args" or "Attributes"
        return True
    scopes: list[Any] = [uspnb, *LIBRARIES, *([] if module is None else [module])]
    scopes += [thing for thing in vars(module).values() if isinstance(thing, type)] if module is not None else []
    above = doc.module.split(".")
    scopes += [m for k in range(1, len(above)) if (m := loaded(".".join(above[:k])))]
    if any(_attribute(scope, parts) for scope in scopes):
        return True
    if any(_importable(f"{prefix}.{name}".lstrip(".")) for prefix in (doc.module.rpartition(".")[0], "uspnb", "")):
        return True
    stem = re.sub("_(min|max|step)$", "", name)  # the range over which a field is tuned
    known = (
        names_of_the_package()
        | set(DECLARATIONS)
        | set(FIELDS)
        | set(variables())
        | {*VIEW_FIRST, *VIEW_LAST, *METRICS}
    )
    return (len(parts) == 1 and (name in known or stem in DECLARATIONS)) or (head in known and last in known)


def _attribute(scope: Any, parts: list[str]) -> bool:
    for part in parts:
        fields = {f.name for f in dataclasses.fields(scope)} if dataclasses.is_dataclass(scope) else set()
        fields |= set(getattr(scope, "_fields", ()))
        fields |= set(inspect.get_annotations(scope)) if isinstance(scope, type) else set()
        if part not in fields and not hasattr(scope, part):
            return False
        scope = getattr(scope, part, None)
    return True


@functools.cache
def _importable(name: str) -> bool:
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        module = loaded(".".join(parts[:k]))
        if module is not None:
            return _attribute(module, parts[k:])
    return False


def exists(name: str) -> bool:
    """Whether a source file of that name is there; of other files that is not asked."""
    return not name.endswith((".py", ".js")) or any(True for root in ROOTS for _ in root.rglob(name))


def unresolved() -> list[str]:
    found = []
    for doc in docstrings():
        for match in QUOTED.finditer(doc.text):
            text = match[1]
            name = text.removesuffix("()").removesuffix("(...)")
            if (
                not DOTTED.fullmatch(name)
                or keyword.iskeyword(name)
                or name in ELSEWHERE
                or ENVIRONMENT.fullmatch(name)
            ):
                continue
            there = exists(name) if FILE.fullmatch(name) else resolves(name, doc)
            if not there:
                line = doc.line + doc.text[: match.start()].count("\n")
                found.append(f"{doc.path.relative_to(ROOTS[0].parent)}:{line}: `{text}`")
    return found


def test_a_name_of_nothing_is_seen() -> None:
    """`Telemetry` once spoke of `kernel_mean`, which is a field of another module's class."""
    path = ROOTS[0] / "model" / "fields.py"
    doc = Docstring(path, "uspnb.model.fields", ("Telemetry",), frozenset(), "", 1)
    assert resolves("kernel_scale", doc) and resolves("uspnb.register_kernel", doc) and resolves("vmap", doc)
    assert not resolves("kernel_mean", doc) and not resolves("uspnb.no_such_name", doc)
    assert exists("elements.js") and not exists("no_such_file.js")


def test_names_in_backquotes_are_names_of_something() -> None:
    found = unresolved()
    assert not found, f"{len(found)} names in docstrings name nothing:\n" + "\n".join(found)
