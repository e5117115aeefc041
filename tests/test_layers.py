"""The house has floors, and imports go downstairs only."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "segue"

LAYERS = (
    *("errors", "units", "arrays", "ranks", "memory", "grouping"),
    *("io", "simulate", "resample", "fingerprint", "split", "channels", "normalize"),
    *("targets", "augment"),
    *("model", "loss", "predict", "train"),
    *("objects", "trained", "evaluate"),
    *("plan", "config", "report", "pipeline", "cli", "__main__"),
)
"""Lowest first. A module imports from earlier layers and from its own package; this is the one place that says so.

`segue/__init__.py` stands above all: it names places and imports them when they are asked for.
The command line may import late, inside of functions, so that `segue --help` answers at once. Nobody else may: an
import hidden in a function hides a circle. Imports for types alone count like all others.
See docs/decisions/0001-layers.md.
"""


@dataclass(frozen=True)
class OwnImport:
    """One import of our own code."""

    importer: str
    """The module that imports, such as "segue.io.tiff"."""
    target: str
    """The module that is imported."""
    line: int
    late: bool
    """Whether it stands inside of a function."""

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def layer_of(module: str) -> str:
    """The part after "segue."; "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def targets_of(node: ast.AST) -> Iterator[str]:
    """The own modules that one import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "segue")
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "segue":
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in MODULES else str(node.module)


def own_imports(module: str) -> list[OwnImport]:
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    return [
        OwnImport(module, target, node.lineno, id(node) in inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for target in targets_of(node)
    ]


IMPORTS = [one for module in MODULES if module != "segue" for one in own_imports(module)]


def test_every_room_of_the_house_is_in_the_list_of_layers():
    rooms = {layer_of(module) for module in MODULES} - {""}
    assert rooms == set(LAYERS)
    assert len(LAYERS) == len(set(LAYERS))


def test_imports_point_to_earlier_layers_or_to_the_own_package():
    place = {layer: number for number, layer in enumerate(LAYERS)}
    wrong = [
        str(one)
        for one in IMPORTS
        if layer_of(one.target) != layer_of(one.importer)
        and place.get(layer_of(one.target), len(LAYERS)) >= place[layer_of(one.importer)]
    ]
    assert wrong == []


def test_only_the_command_line_imports_inside_of_functions():
    assert [str(one) for one in IMPORTS if one.late and layer_of(one.importer) != "cli"] == []


def test_own_modules_are_imported_by_their_full_name():
    relative = [
        f"{module}, line {node.lineno}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert relative == []


def circle_among(imports: Sequence[OwnImport]) -> list[str]:
    """Modules that import each other, the first one twice; nothing if there are none. Late imports do not count."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        if not one.late:
            graph.setdefault(one.importer, set()).add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_over_others():
    assert circle_among(IMPORTS) == []


@pytest.mark.parametrize(
    ("source", "targets"),
    [
        ("import segue.io.tiff", ["segue.io.tiff"]),
        ("from segue.io import tiff, images", ["segue.io.tiff", "segue.io.images"]),
        ("from segue.io.tiff import decode_tiff", ["segue.io.tiff"]),
        ("from segue import fit", ["segue"]),
        ("import numpy, seguence", []),
    ],
)
def test_the_reader_of_imports_sees_what_python_would_import(source, targets):
    assert list(targets_of(ast.parse(source).body[0])) == targets


@pytest.mark.parametrize(("late", "members"), [(False, {"a", "b", "c"}), (True, set())])
def test_a_circle_is_one_unless_an_import_of_it_is_late(late, members):
    there = [OwnImport("a", "b", 1, late=False), OwnImport("b", "c", 1, late=False), OwnImport("b", "d", 2, late=False)]
    assert set(circle_among([*there, OwnImport("c", "a", 1, late=late)])) == members
