"""What must not be in the house: packages that break it, and calls that run a stranger's program."""

import ast
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SOURCE = Path(__file__).parents[1] / "src" / "segue"

NEVER = re.compile(r"numba|torchvision")
"""numba has no wheels for new versions of Python in time; torchvision does not fit torch's CPU wheel."""
OF_A_GRAPHICS_CARD = re.compile(r"nvidia-.*|triton")
"""2 GB that a CPU build of torch does not need."""

FORBIDDEN_CALLS = {
    "eval": "runs any program",
    "exec": "runs any program",
    "torch.load": "unpickles",
    "yaml.load": "builds any object",
}
FORBIDDEN_METHODS = {"extractall": "writes outside of its folder"}
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def needed(name: str, *, seen: set[str] | None = None) -> set[str]:
    """Names of everything that `name` and its dev tools need, torch's own needs aside."""
    seen = set() if seen is None else seen
    if name in seen:
        return seen
    seen.add(name)
    if name == "torch":
        return seen
    extras = ("dev",) if name == "segue" else ("",)
    try:
        listed = requires(name) or []
    except PackageNotFoundError:
        return seen
    for requirement in map(Requirement, listed):
        wanted = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if wanted:
            needed(re.sub(r"[-_.]+", "-", requirement.name).lower(), seen=seen)
    return seen


def test_nothing_that_segue_needs_brings_packages_of_a_graphics_card_numba_or_torchvision():
    names = needed("segue")
    assert {"torch", "numpy", "pytest"} <= names
    assert [name for name in names if NEVER.fullmatch(name) or OF_A_GRAPHICS_CARD.fullmatch(name)] == []


def test_the_environment_is_free_of_them_too():
    installed = {str(one.metadata["Name"]).lower() for one in distributions()}
    assert [name for name in installed if NEVER.fullmatch(name)] == []
    if version("torch").endswith("+cpu"):
        assert [name for name in installed if OF_A_GRAPHICS_CARD.fullmatch(name)] == []


def complaints(source: str) -> Iterator[str]:
    """What is forbidden in a program, by its syntax: words in docstrings and messages may stand."""
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS:
                yield f"line {line}: {called} {FORBIDDEN_CALLS[called]}"
            if isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS:
                yield f"line {line}: {node.func.attr} {FORBIDDEN_METHODS[node.func.attr]}"
            for keyword in node.keywords:
                allowed = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "allow_pickle" and not allowed:
                    yield f"line {line}: allow_pickle unpickles"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] in FORBIDDEN_IMPORTS:
                    yield f"line {line}: {name} unpickles"
        elif isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"line {line}: a bare except catches what it does not know"
            if all(isinstance(statement, ast.Pass) for statement in node.body):
                yield f"line {line}: an except that passes hides an error"


def test_no_source_file_calls_what_runs_a_strangers_program_or_hides_an_error():
    found = [
        f"{path.relative_to(SOURCE)}, {complaint}"
        for path in sorted(SOURCE.rglob("*.py"))
        for complaint in complaints(path.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle", "pickle unpickles"),
        ("from pickle import loads", "pickle unpickles"),
        ("torch.load('a.pt')", "torch.load unpickles"),
        ("yaml.load(text)", "yaml.load builds any object"),
        ("eval(text)", "eval runs any program"),
        ("np.load('a.npy', allow_pickle=True)", "allow_pickle unpickles"),
        ("archive.extractall(folder)", "extractall writes outside of its folder"),
        ("try:\n    f()\nexcept:\n    raise", "a bare except catches what it does not know"),
        ("try:\n    f()\nexcept OSError:\n    pass", "an except that passes hides an error"),
    ],
)
def test_each_forbidden_thing_is_found(source, expected):
    assert any(expected in complaint for complaint in complaints(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""This is a Python pickle; torch.load( and eval( are only words here."""',
        "np.load('a.npy', allow_pickle=False)",
        "network.eval()",
        "with suppress(OSError):\n    path.unlink()",
    ],
)
def test_words_and_harmless_calls_are_allowed(source):
    assert list(complaints(source)) == []
