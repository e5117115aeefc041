"""Volumes of objects, end to end: annotated stacks, a training, new stacks, and all that other programs read."""

import csv
import json

import numpy as np
import pytest
import tifffile

from segue.io.images import read_image, write_image, write_labels
from segue.simulate import CellsConfig, simulate_cells

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
"""That of pycocotools."""

PLAN = """
precision = "fp32"
mirror = false
validation_fraction = 0.2
[network]
spatial_axes = 3
width = 8
widest = 16
outputs = 3
factors = [[2, 2, 2], [2, 2, 2]]
kernels = [[3, 3, 3], [3, 3, 3], [3, 3, 3]]
padding = "same"
normalization = "batch"
[normalization]
[targets]
w0 = 5.0
distance = true
[batches]
patch = [16, 32, 32]
batch = 2
[augment]
[loss]
dice = 0.5
auxiliary = 3.0
[train]
learning_rate = 0.01
validations = 1
"""
SHAPE = (16, 48, 40)
CELLS = CellsConfig(diameter=10, density=0.25)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """Five annotated stacks and a new one."""
    root = tmp_path_factory.mktemp("stacks")
    (root / "plan.toml").write_text(PLAN)
    for number in range(6):
        image, labels = simulate_cells(SHAPE, seed=number, config=CELLS)
        folder = root / ("data" if number else "new")
        write_image(folder / "images" / f"s{number}.tif", image)
        write_labels(folder / "masks" / f"s{number}.tif", labels.ids, space=labels.space)
    (root / "data" / "dataset.toml").write_text('labels = "objects"\n')
    return root


@pytest.mark.slow
def test_stacks_are_learnt_and_their_objects_counted_measured_and_outlined(stacks, segue, tmp_path):
    from pyarrow import parquet
    from pycocotools.coco import COCO
    from roifile import roiread

    model, out = tmp_path / "cells.segue", tmp_path / "out"
    answer = segue("train", stacks / "data", "--out", model, "--config", stacks / "plan.toml", "--steps", "80")
    assert answer.code == 0, answer.err
    formats = ["--table", "csv,parquet", "--outlines", "geojson,imagej,coco", "--overlay"]
    answer = segue("predict", model, stacks / "new" / "images", "--out", out, *formats)
    assert answer.code == 0, answer.err
    answer = segue("evaluate", stacks / "new", out, "--json", "-")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["metrics"]["average_precision"]["mean"] > 0.5

    ids = tifffile.imread(out / "s0.tif").astype(int)
    assert ids.shape == read_image(stacks / "new" / "images" / "s0.tif").shape
    sizes = np.bincount(ids.ravel())
    with (out / "s0.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == list(range(1, len(sizes)))
    assert [float(row["volume_px"]) for row in rows] == sizes[1:].tolist()
    assert parquet.read_table(out / "s0.parquet")["id"].to_pylist() == list(range(1, len(sizes)))

    # In each slice, the pixels of each object.
    there = {(number, z): (ids[z] == number) for z in range(len(ids)) for number in np.unique(ids[z]) if number}
    data_set = COCO(out / "coco.json")
    slices = {number: image["slice"] for number, image in data_set.imgs.items()}
    found = {(one["object_id"], slices[one["image_id"]]): data_set.annToMask(one) > 0 for one in data_set.anns.values()}
    assert found.keys() == there.keys()
    assert all(np.array_equal(found[place], there[place]) for place in there)
    features = json.loads((out / "s0.geojson").read_text())["features"]
    planes = {(int(one["properties"]["name"]), one["geometry"]["plane"]["z"]) for one in features}
    assert planes == there.keys()
    regions = roiread(out / "s0.rois.zip")
    assert isinstance(regions, list)
    assert {(int(region.name), region.position - 1) for region in regions} == there.keys()
