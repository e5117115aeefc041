"""Small simulated data sets, a plan that trains in no time, and a model made by it."""

from dataclasses import replace

import pytest
import torch

from segue.fingerprint import examine
from segue.io.datasets import find_pairs
from segue.io.images import write_image, write_labels
from segue.model.unet import isotropic_config
from segue.pipeline.fitting import fit
from segue.pipeline.wishes import FitConfig
from segue.plan import make_plan
from segue.simulate import CellsConfig, MembranesConfig, simulate_cells, simulate_membranes
from segue.train.settings import BatchConfig

CELLS = 'labels = "objects"\nclasses = ["background", "cell"]\n'
MEMBRANES = 'labels = "classes"\nclasses = ["membrane", "cell"]\n'


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_cells(folder, *, count, side=64, first=0, name="cell-{:02d}", description=CELLS):
    """A data set of `count` images of cells with their ids."""
    for number in range(first, first + count):
        image, labels = simulate_cells((side, side), seed=number, config=CellsConfig(diameter=14))
        write_image(folder / "images" / f"{name.format(number)}.tif", image)
        write_labels(folder / "masks" / f"{name.format(number)}.tif", labels.ids, space=labels.space, kind="objects")
    (folder / "dataset.toml").write_text(description)
    return folder


def write_membranes(folder, *, count, side=64, first=0):
    """A data set of `count` images of membranes with the classes of their pixels."""
    for number in range(first, first + count):
        image, labels = simulate_membranes((side, side), seed=number, config=MembranesConfig(diameter=20))
        write_image(folder / "images" / f"membrane-{number:02d}.tif", image)
        write_labels(folder / "masks" / f"membrane-{number:02d}.tif", labels.ids, space=labels.space)
    (folder / "dataset.toml").write_text(MEMBRANES)
    return folder


def tiny_plan(folder, **changes):
    """The plan for a data set, with the smallest network that still is one."""
    fingerprint = examine(find_pairs(folder)).fingerprint
    assert fingerprint is not None
    plan = make_plan(fingerprint)
    sizes = {"spatial_axes": 2, "channels": plan.network.channels, "outputs": plan.network.outputs, "width": 4}
    plan = replace(
        plan,
        network=isotropic_config(depth=1, padding="same", normalization="batch", dropout=0.2, **sizes),
        batches=BatchConfig(patch=(32, 32), batch=2, foreground=0.0),
        mirror=False,
        precision="fp32",
    )
    return replace(plan, **changes)


@pytest.fixture(scope="session", name="write_cells")
def _write_cells():
    return write_cells


@pytest.fixture(scope="session", name="write_membranes")
def _write_membranes():
    return write_membranes


@pytest.fixture(scope="session", name="tiny_plan")
def _tiny_plan():
    return tiny_plan


@pytest.fixture(scope="session")
def cells(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("cells"), count=8)


@pytest.fixture(scope="session")
def membranes(tmp_path_factory):
    return write_membranes(tmp_path_factory.mktemp("membranes"), count=7)


@pytest.fixture(scope="session")
def cell_model(cells):
    torch.set_num_threads(1)
    return fit(cells, config=FitConfig(steps=30, plan=tiny_plan(cells)))
