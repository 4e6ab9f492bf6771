"""Imports inside the package point one way: no circle, and no room imports one above it."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiramisu

PACKAGE = Path(tiramisu.__file__).parent
# From the bottom up. Rooms of one level do not import each other.
LEVELS = [
    {"text"},
    {"settings", "progress", "atomic", "terminal", "interrupts", "environment", "machine"},
    {"free_memory", "shipped", "flags", "own_parts"},
    {"devices"},
    {"models", "streets"},
    {"data", "summary"},
    {"checkpoints", "visual"},
    {"inference"},
    {"evaluation"},
    {"training", "export"},
    {"benchmark", "recipes"},
    {"jobs", "planning", "runs"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL_OF = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}


def find_modules(package: Path) -> dict[str, Path]:
    """All modules of a package by their dotted names."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def find_imports(source: str, modules: set[str]) -> Iterator[str]:
    """The modules of the package that a source imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not followed"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in modules or node.module in modules:
                    yield full if full in modules else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def read_graph(package: Path) -> dict[str, set[str]]:
    modules = find_modules(package)
    names = set(modules) - {package.name}
    return {name: set(find_imports(modules[name].read_text(), names)) for name in names}


def room_of(module: str) -> str:
    return module.split(".")[1]


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def find_arrows_up(graph: dict[str, set[str]]) -> list[str]:
    return [
        f"{module} -> {imported}"
        for module, imports in sorted(graph.items())
        for imported in sorted(imports)
        if room_of(module) != room_of(imported)
        and LEVEL_OF[room_of(module)] <= LEVEL_OF[room_of(imported)]
    ]


def test_every_room_has_a_level() -> None:
    assert {room_of(module) for module in read_graph(PACKAGE)} == LEVEL_OF.keys()


def test_imports_have_no_circle() -> None:
    assert find_circle(read_graph(PACKAGE)) == []


def test_no_room_imports_one_above_it() -> None:
    graph = read_graph(PACKAGE)
    assert "tiramisu.models.blocks" in graph["tiramisu.models.fcdensenet"]
    assert find_arrows_up(graph) == []


@pytest.mark.parametrize(
    "statement",
    [
        "from tiramisu.data.spec import DatasetSpec",
        "from tiramisu.data import spec",
        "import tiramisu.data.spec",
        "def late():\n    from tiramisu.data.spec import DatasetSpec",
        "if TYPE_CHECKING:\n    from tiramisu.data.spec import DatasetSpec",
    ],
)
def test_the_wrong_import_would_be_found(statement: str) -> None:
    graph = read_graph(PACKAGE)
    graph["tiramisu.settings"] |= set(find_imports(statement, set(graph)))
    assert find_arrows_up(graph) == ["tiramisu.settings -> tiramisu.data.spec"]
    graph["tiramisu.data.spec"].add("tiramisu.settings")
    assert find_circle(graph)


def test_file_names_are_used_once() -> None:
    """A file's name says what it holds without its folder; each room may have one config.py."""
    stems = [path.stem for path in PACKAGE.rglob("*.py")]
    repeated = {stem for stem in stems if stems.count(stem) > 1}
    assert repeated <= {"__init__", "config"}
