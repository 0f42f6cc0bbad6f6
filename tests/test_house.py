"""The house in figures: rooms, files, circles of imports, modules that belong in their sibling, lines of code.

python tests/test_house.py [ROOT]    print the figures of a checkout, this one where none is named
"""

from __future__ import annotations

import ast
import collections
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).resolve().parent.parent
# Eleven in `uspnb/`, and the widgets, which have a folder of their own.
ROOMS = {
    "config",
    "data",
    "engine",
    "model",
    "persistence",
    "plots",
    "predictor",
    "runtime",
    "sinks",
    "sources",
    "tuning",
    "widgets",
}
LOOSE = {"__init__", "__main__", "array_types", "cli", "errors", "testing"}
MOST_FILES, MOST_WIDGET_FILES = 216, 32
HOW = {
    "at_once": "of imports",
    "later": "with the imports in functions",
    "never": "with those for annotations",
}

# Modules that nothing names at their import, each with what finds it: `python -m`, a registry or a client's process.
FOUND_OTHERWISE: dict[str, str] = {
    "uspnb.__main__": "python -m uspnb",
    "uspnb.widgets.notebook_views": "tests/widgets/test_hosts.py tests it together with page_views",
}


class Module(NamedTuple):
    """A Python file of the package.

    Attributes:
        name: as it is imported.
        path: the file.
        package: whether it is an `__init__.py`.
    """

    name: str
    path: Path
    package: bool


class Imports(NamedTuple):
    """What a module imports of the package, by name.

    Attributes:
        at_once: when it is imported itself.
        later: when one of its functions runs; of a package also what it offers on demand.
        never: for annotations alone, under TYPE_CHECKING.
    """

    at_once: frozenset[str]
    later: frozenset[str]
    never: frozenset[str]

    def up_to(self, how: str) -> frozenset[str]:
        """The imports of a kind and of the kinds before it."""
        kinds = self._fields[: self._fields.index(how) + 1]
        return frozenset().union(*(getattr(self, kind) for kind in kinds))


def modules_of(root: Path) -> dict[str, Module]:
    """The modules of `uspnb/` and `widgets/` below a checkout, by name."""
    made = {}
    for folder, prefix in ((root / "uspnb", "uspnb"), (root / "widgets", "uspnb.widgets")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            package = parts[-1] == "__init__"
            name = ".".join((prefix, *(parts[:-1] if package else parts)))
            made[name] = Module(name, path, package)
    return made


def imports_of(module: Module, known: Iterable[str]) -> Imports:
    """What a module imports of the known ones."""
    known = set(known)
    found: dict[str, set[str]] = {kind: set() for kind in Imports._fields}
    for node, kind in _imports(ast.parse(module.path.read_text()), "at_once"):
        for name in _named(node, module):
            target = _module_in(name, known)
            if target is not None and target != module.name:
                found["later" if module.package and kind == "never" else kind].add(target)
    return Imports(*(frozenset(found[kind]) for kind in Imports._fields))


def _imports(node: ast.AST, kind: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, kind
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(ast.Module(child.body, []), "never")
            yield from _imports(ast.Module(child.orelse, []), kind)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, "later" if inside and kind == "at_once" else kind)


def _named(node: ast.Import | ast.ImportFrom, module: Module) -> Iterator[str]:
    """Full names of what a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = module.name.split(".")
        above = parts[: len(parts) - node.level + module.package]
        base = ".".join(above + ([base] if base else []))
    yield from (f"{base}.{alias.name}" for alias in node.names)


def _module_in(name: str, known: set[str]) -> str | None:
    """The longest beginning of a name that is a module."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach one another (Tarjan 1972), each sorted."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    made: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                made.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(edges):
        if name not in number:
            visit(name)
    return made


def code_lines(text: str) -> int:
    """Lines of Python without docstrings, comments and blank lines."""
    lines: set[int] = set()
    previous = tokenize.NEWLINE
    passing = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in passing:
            continue
        alone = previous == tokenize.NEWLINE and token.type == tokenize.STRING
        if token.type not in (tokenize.NEWLINE, tokenize.ENDMARKER) and not (alone and _ends_line(text, token)):
            lines.update(range(token.start[0], token.end[0] + 1))
        previous = token.type
    return len(lines)


def _ends_line(text: str, token: tokenize.TokenInfo) -> bool:
    return not text.splitlines()[token.end[0] - 1][token.end[1] :].strip()


def script_lines(text: str) -> int:
    """Lines of JavaScript without comments and blank lines; comments are taken where a line begins with them."""
    count, inside = 0, False
    for line in map(str.strip, text.splitlines()):
        if inside or line.startswith("/*"):
            inside = "*/" not in line
        elif line and not line.startswith("//"):
            count += 1
    return count


class House:
    """What a checkout looks like.

    Args:
        root: of the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules = modules_of(root)
        self.imports = {name: imports_of(module, self.modules) for name, module in self.modules.items()}
        self.tests = sorted((root / "tests").rglob("*.py"))

    @property
    def rooms(self) -> list[str]:
        """Packages directly below `uspnb/`, the widgets among them."""
        return sorted(name.split(".")[1] for name, m in self.modules.items() if m.package and name.count(".") == 1)

    @property
    def loose(self) -> list[str]:
        """Modules directly in `uspnb/`."""
        return sorted(path.stem for path in (self.root / "uspnb").glob("*.py"))

    def files(self, folder: str) -> int:
        """Python files below a folder."""
        return sum(1 for module in self.modules.values() if module.path.is_relative_to(self.root / folder))

    def circles(self, how: str) -> list[list[str]]:
        """Circles of imports of a kind and of the kinds before it.

        The packages that a module lies in are imported before it in any case, and close no circle.
        """
        edges = {
            name: {other for other in found.up_to(how) if not f"{name}.".startswith(f"{other}.")}
            for name, found in self.imports.items()
        }
        return circles(edges)

    def only_of_a_sibling(self) -> dict[str, str]:
        """Modules that one sibling alone imports, with that sibling; those with tests of their own are none of them."""
        importers = collections.defaultdict(set)
        for name, found in self.imports.items():
            for other in found.up_to("later"):
                importers[other].add(name)
        tested = {path.stem.removeprefix("test_") for path in self.tests if path.stem.startswith("test_")}
        made = {}
        for name, module in self.modules.items():
            room = name.rpartition(".")[0]
            from_others = importers[name] - {room}
            if (
                module.package
                or name in FOUND_OTHERWISE
                or name.rpartition(".")[2] in tested
                or room in importers[name]
            ):
                continue
            if len(from_others) == 1:
                (sibling,) = from_others
                if sibling.rpartition(".")[0] == room:
                    made[name] = sibling
        return made

    def figures(self) -> dict[str, Any]:
        """Every figure by its name."""
        scripts = [path for path in (self.root / "widgets").rglob("*.js") if "bundle" not in path.name]
        return {
            "rooms": len(self.rooms),
            "loose modules": len(self.loose),
            "Python files in uspnb/": self.files("uspnb"),
            "Python files in widgets/": self.files("widgets"),
            **{f"circles {told}": len(self.circles(how)) for how, told in HOW.items()},
            "modules that one sibling alone imports": len(self.only_of_a_sibling()),
            "lines of code, package": sum(code_lines(m.path.read_text()) for m in self.modules.values()),
            "lines of code, tests": sum(code_lines(path.read_text()) for path in self.tests),
            "lines of code, JavaScript": sum(script_lines(path.read_text()) for path in scripts),
        }

    def report(self, say: Any = print) -> None:
        """Say the figures and what is behind them."""
        for name, figure in self.figures().items():
            say(f"{figure:8,}  {name}")
        say(f"rooms: {', '.join(self.rooms)}")
        say(f"loose: {', '.join(self.loose)}")
        for how, told in HOW.items():
            for circle in self.circles(how):
                say(f"circle {told}: {', '.join(circle)}")
        for name, sibling in self.only_of_a_sibling().items():
            say(f"only {sibling} imports {name}")


@pytest.fixture(scope="module")
def house() -> House:
    """This checkout; its figures are printed."""
    made = House(HERE)
    made.report()
    return made


def test_the_rooms_are_those_of_the_design(house: House) -> None:
    assert set(house.rooms) == ROOMS
    assert set(house.loose) <= LOOSE


def test_there_are_no_more_files_than_ideas(house: House) -> None:
    assert house.files("uspnb") <= MOST_FILES
    assert house.files("widgets") <= MOST_WIDGET_FILES


@pytest.mark.parametrize("how", HOW, ids=HOW.get)
def test_no_imports_go_in_a_circle(house: House, how: str) -> None:
    assert house.circles(how) == []


def test_no_module_belongs_in_its_only_importer(house: House) -> None:
    assert house.only_of_a_sibling() == {}


def test_what_is_found_otherwise_is_there(house: House) -> None:
    assert set(FOUND_OTHERWISE) <= set(house.modules)


SMALL = {
    "uspnb/__init__.py": "from .a import x\n",
    "uspnb/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    '    from .room.c import z\n"""Not code."""\nx = 1\n',
    "uspnb/room/__init__.py": "from .b import y\n",
    "uspnb/room/b.py": "from . import c\ny = 1\n",
    "uspnb/room/c.py": "from ..a import x\n\ndef f():\n    from .b import y\n    return y\n",
    "uspnb/room/d.py": "from .c import f\nfrom .e import g\n",
    "uspnb/room/e.py": "g = '''two\nlines'''  # and a comment\n",
    "uspnb/room/test_only.py": "",
    "widgets/__init__.py": "from uspnb.room.b import y\n",
    "widgets/w.js": "/* a\n comment */\n// another\nlet x = 1;\n",
    "tests/test_c.py": "def test_f():\n    assert True\n",
}


def test_the_figures_of_a_small_house(tmp_path: Path) -> None:
    for name, text in SMALL.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    small = House(tmp_path)
    assert small.rooms == ["room", "widgets"] and small.loose == ["__init__", "a"]
    assert (small.files("uspnb"), small.files("widgets")) == (8, 1)
    assert small.circles("at_once") == []
    assert small.circles("later") == [["uspnb.room.b", "uspnb.room.c"]]
    assert small.circles("never") == [["uspnb.a", "uspnb.room.b", "uspnb.room.c"]]
    assert small.only_of_a_sibling() == {"uspnb.room.e": "uspnb.room.d"}
    assert code_lines(SMALL["uspnb/a.py"]) == 4 and code_lines(SMALL["uspnb/room/e.py"]) == 2
    assert script_lines(SMALL["widgets/w.js"]) == 1
    said: list[str] = []
    small.report(said.append)
    assert "only uspnb.room.d imports uspnb.room.e" in said


if __name__ == "__main__":
    House(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE).report()
