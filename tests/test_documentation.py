"""The documentation runs: every `segue` line, every Python block, every settings file, every link.

Each page runs from top to bottom in a folder of its own, which holds small simulated data sets, images and two models
under the names that the pages use (see `ground`). To stay quick, budgets and numbers of steps are replaced by
`STEPS`, plans get a tiny network, and `segue demo` and `make` are only checked for being called rightly. A command
that should fail says so in a comment: `# exit code 65`.
"""

import json
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from segue import cli, errors
from segue.arrays import Labels
from segue.cli import app
from segue.config import plan_from_dict
from segue.evaluate.classes import score_classes
from segue.evaluate.membranes import score_membranes
from segue.evaluate.objects import score_objects
from segue.io.description import Description, check_description
from segue.io.images import write_image, write_labels
from segue.io.natural import IMAGE_SUFFIXES
from segue.model.file import ModelHeader
from segue.pipeline import demonstration
from segue.pipeline.fitting import fit
from segue.pipeline.wishes import FitConfig
from segue.plan import Plan, make_plan
from segue.simulate import simulate_cells, simulate_membranes
from segue.trained import load

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
STEPS = 2
SIDE = 64
OTHER_PROGRAMS = ("git clone ", "cd ", "source ", "python -m pip ", "kill ")
"""Beginnings of lines that are left to the reader."""

Block = tuple[str, str]
"""Language and text of a fenced block."""


def blocks_of(text: str) -> list[Block]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands_of(text: str) -> list[str]:
    """The lines of a shell block, continued ones joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def quickened(arguments: list[str]) -> list[str]:
    """The same command with `STEPS` steps instead of its time or its steps; a training of unsaid length too."""
    quick = []
    rest = iter(arguments)
    for argument in rest:
        if argument in ("--budget", "--steps"):
            next(rest)
        else:
            quick.append(argument)
    return [*quick, "--steps", str(STEPS)] if quick[0] == "train" else quick


def run_command(line: str) -> None:
    if line.startswith("segue "):
        wanted = re.search(r"# exit code (\d+)", line)
        arguments = shlex.split(line, comments=True)[1:]
        # `demo` keeps its budget: what it would do is replaced (see `quick_trainings`).
        code = cli.run(arguments if arguments[0] == "demo" else quickened(arguments))
        assert code == (int(wanted[1]) if wanted else 0), line
    elif found := re.match(r"torchrun .* -m (segue .*)", line):
        run_command(found[1])  # what each process is told; tests/cli/test_processes.py starts several
    elif line.startswith("make "):
        targets = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
        subprocess.run(["make", "-n", "-C", str(ROOT), *targets], check=True, capture_output=True)
    elif found := re.match(r"python -m benchmarks\.(\w+)", line):
        assert (ROOT / "benchmarks" / f"{found[1]}.py").is_file(), line
    else:
        assert line.startswith(OTHER_PROGRAMS), f"nobody can say whether this runs: {line}"


def write_set(folder: Path, simulate: Callable[..., Any], *, count: int, seed: int, description: str = "") -> None:
    for number in range(count):
        image, labels = simulate((SIDE, SIDE), seed=seed + number)
        write_image(folder / "images" / f"{folder.name}-{number}.tif", image)
        write_labels(folder / "masks" / f"{folder.name}-{number}.tif", labels.ids, space=labels.space, kind=labels.kind)
    if description:
        (folder / "dataset.toml").write_text(description)


@pytest.fixture(scope="module")
def quick_trainings() -> Iterator[None]:
    """Plans get a tiny network and small batches, and the demo's work is taken as done."""
    with pytest.MonkeyPatch.context() as patch:

        def make_small_plan(*arguments: Any, **settings: Any) -> Plan:
            plan = make_plan(*arguments, **settings)
            if settings.get("preset") == "paper":
                network = replace(plan.network, width=2, factors=plan.network.factors[:1], kernels=((3, 3),) * 2)
                return replace(plan, network=network, batches=replace(plan.batches, patch=(64, 64)))
            batches = replace(plan.batches, batch=2)
            return replace(plan, network=replace(plan.network, width=4), batches=batches)

        def take_as_done(_: Path, **__: Any) -> list[demonstration.DemoResult]:
            return []

        patch.setattr("segue.pipeline.means.make_plan", make_small_plan)
        patch.setattr(demonstration, "demonstrate", take_as_done)
        yield


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, quick_trainings: None) -> Path:
    """What the pages talk about: data/, new-images/, a.tif, large.tif, cells.segue, membranes.segue, predictions."""
    root = tmp_path_factory.mktemp("ground")
    cells = 'labels = "objects"\nclasses = ["background", "cell"]\n'
    membranes = 'labels = "classes"\nclasses = ["membrane", "cell"]\n'
    write_set(root / "data" / "train", simulate_cells, count=8, seed=0, description=cells)
    write_set(root / "data" / "validation", simulate_cells, count=2, seed=100, description=cells)
    write_set(root / "data" / "test", simulate_cells, count=3, seed=200, description=cells)
    write_set(root / "data" / "membranes", simulate_membranes, count=7, seed=300, description=membranes)
    shutil.copytree(root / "data" / "validation" / "images", root / "new-images")
    shutil.copy(root / "new-images" / "validation-0.tif", root / "a.tif")
    write_image(root / "large.tif", simulate_cells((200, 300), seed=400)[0])
    fit(root / "data" / "train", config=FitConfig(steps=STEPS, out=root / "cells.segue"))
    fit(root / "data" / "membranes", config=FitConfig(steps=STEPS, out=root / "membranes.segue"))
    for model, images, out in (
        ("cells", "test", "predicted"),
        ("membranes", "membranes", "predicted-membranes"),
    ):
        answers = ["--as", "probabilities"] if model == "membranes" else []
        paths = [str(root / f"{model}.segue"), str(root / "data" / images / "images"), "--out", str(root / out)]
        assert cli.run(["predict", *paths, *answers]) == 0
    return root


@pytest.fixture
def folder(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the ground to be in."""
    place = tmp_path / "here"
    shutil.copytree(ground, place)
    monkeypatch.chdir(place)
    handler = signal.getsignal(signal.SIGTERM)
    yield place
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_every_program_of_a_page_runs(page, folder):
    names: dict[str, Any] = {}
    for language, text in blocks_of(page.read_text("utf-8")):
        if language == "bash":
            for line in commands_of(text):
                run_command(line)
        elif language == "python":
            program = re.sub(r'budget="\w+"', f"steps={STEPS}", text)
            exec(compile(program, str(page), "exec"), names)
        elif language == "toml":
            check_settings(text, folder)
        elif language == "json":
            json.loads(text)
        else:
            assert language == "text", f"{page}: a block of {language}, of which nobody knows whether it is right"


def check_settings(text: str, folder: Path) -> None:
    """A block that begins with `# dataset.toml` or `# plan.toml` must be accepted as such."""
    content = tomllib.loads(text)
    first = text.splitlines()[0]
    if first == "# dataset.toml":
        check_description(content, source=Path("dataset.toml"))
        return
    assert first == "# plan.toml", f"a settings file begins with its name, not with {first}"
    plan = load(folder / "cells.segue").header.training["plan"]
    plan_from_dict(merged(plan, content))


def merged(plain: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`plain` with `changes` at any depth."""
    return plain | {
        name: merged(plain[name], value) if isinstance(value, dict) and name in plain else value
        for name, value in changes.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)) if not link.startswith("http")]
    places = {link: link.partition("#") for link in links}
    found = {link: page.parent / file if file else page for link, (file, _, _) in places.items()}
    assert [link for link in links if not found[link].exists()] == []
    assert [link for link in links if places[link][2] and places[link][2] not in anchors_of(found[link])] == []


def without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page: Path) -> set[str]:
    """What the headings of a page are called in links: small letters, a hyphen for a blank, nothing else but words."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_that_the_code_names_is_there():
    root = Path(__file__).parents[1]
    named = {
        page
        for path in sorted((root / "src").rglob("*.py"))
        for page in re.findall(r"docs/[\w/.-]+\.md", path.read_text("utf-8"))
    }
    assert named
    assert [page for page in sorted(named) if not (root / page).is_file()] == []


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text("utf-8"))
        waiting += [(page.parent / link).resolve() for link in links if not link.startswith("http")]
    assert set(PAGES) - reached == set()


COMMANDS = typer.main.get_command(app)


@pytest.mark.parametrize("name", sorted(COMMANDS.commands) if isinstance(COMMANDS, TyperGroup) else [])
def test_the_reference_names_every_option_of_a_command(name):
    assert isinstance(COMMANDS, TyperGroup)
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    section = re.search(rf"^## segue {name}\n(.*?)(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL)
    assert section is not None
    command = COMMANDS.commands[name]
    assert isinstance(command, TyperCommand)
    options = {option for one in command.params for option in one.opts if option.startswith("--")}
    described = set(re.findall(r"^\| `(--[a-z-]+)", section[1], flags=re.MULTILINE))
    assert described == options - {"--help"}


NOTHING = np.zeros((4, 4), np.int32)
KINDS = Labels(ids=NOTHING, kind="objects", classes=("background", "red", "white"), object_classes={})
SCORES = [
    *score_classes(NOTHING, NOTHING).metrics(),
    *score_objects(KINDS, KINDS).metrics(),
    *score_membranes(NOTHING, NOTHING).metrics(),
]


def test_the_reference_names_every_exit_code():
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    described = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.SegueError)]
    assert described == {one.exit_code for one in classes} | {0, 130, 143}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("dataset-toml", list(Description.model_fields)),
        ("model-file", list(ModelHeader.model_fields)),
        ("formats", list(IMAGE_SUFFIXES)),
        ("scores", [name for name in SCORES if "/" not in name]),
    ],
)
def test_a_reference_page_names_everything_there_is(page, names):
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text("utf-8")
    assert [name for name in names if f"`{name}`" not in text] == []
