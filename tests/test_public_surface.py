"""`import segue`: the names people see, and what seeing them costs."""

import ast
import inspect
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import segue

HEAVY = ("torch", "skimage", "matplotlib", "scipy.ndimage", "tifffile", "PIL", "imagecodecs", "nibabel")
"""Modules that take from a tenth of a second to several seconds to import."""


def in_a_new_process(program: str) -> str:
    """What a program prints in a Python of its own that keeps no compiled files."""
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kind_and_name(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by the alphabet."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_the_public_names_are_sorted_and_are_those_that_are_provided():
    assert segue.__all__ == sorted(segue.__all__, key=kind_and_name)
    assert set(segue.__all__) == set(segue._PLACES)
    assert dir(segue) == sorted(segue.__all__)


def test_type_checkers_see_the_same_names_from_the_same_places():
    tree = ast.parse(Path(segue.__file__).read_text("utf-8"))
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == segue._PLACES


@pytest.mark.parametrize("name", segue.__all__)
def test_a_public_name_is_the_object_of_its_place(name):
    assert getattr(segue, name) is getattr(import_module(segue._PLACES[name]), name)


def test_no_public_name_is_that_of_a_module():
    modules = {path.stem for path in Path(segue.__file__).parent.iterdir()}
    assert modules & set(segue.__all__) == set()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'segue' has no attribute 'fitt'"):
        _ = segue.fitt


@pytest.mark.parametrize("name", segue.__all__)
def test_every_public_function_and_class_says_what_it_does_and_so_do_its_methods(name):
    thing = getattr(segue, name)
    if not callable(thing):
        return
    silent = [] if inspect.getdoc(thing) else [name]
    members = vars(thing).items() if inspect.isclass(thing) else ()
    for member_name, member in members:
        documented = inspect.isfunction(member) or isinstance(member, property | classmethod)
        if documented and not member_name.startswith("_") and not inspect.getdoc(member):
            silent.append(f"{name}.{member_name}")
    assert silent == []


@pytest.mark.parametrize(
    "program",
    [
        "import segue",
        "import segue.cli\nassert segue.cli.run(['--help']) == 0",
        "import segue.cli\nassert segue.cli.run(['train', '--help']) == 0",
    ],
)
def test_neither_the_import_nor_the_help_loads_anything_heavy(program):
    printed = in_a_new_process(f"{program}\nimport json, sys\nprint()\nprint(json.dumps(list(sys.modules)))")
    loaded = set(json.loads(printed.splitlines()[-1]))
    assert "segue" in loaded
    assert sorted(loaded & set(HEAVY)) == []


def test_the_import_opens_no_socket_writes_nothing_and_starts_no_process():
    program = """
import sys, json
seen = []
def watch(event, arguments):
    writes = event == "open" and (
        (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
        or (isinstance(arguments[2], int) and arguments[2] & 0o1103)  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
    )
    changes = event.split(".")[0] in ("socket", "subprocess", "shutil", "tempfile") or event in (
        "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
        "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.utime",
    )
    if writes or changes:
        seen.append(event + str(arguments))
sys.addaudithook(watch)
import segue, segue.cli
[getattr(segue, name) for name in ("Image", "find_pairs", "read_image", "examine", "simulate_cells")]
sys.stdout.write(json.dumps(seen))
"""
    assert json.loads(in_a_new_process(program)) == []
