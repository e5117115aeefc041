"""Objects of several classes, from annotated files to the classes in the table and their scores."""

import csv
from dataclasses import replace

import pytest

from segue.io.datasets import find_pairs
from segue.io.images import write_image, write_labels
from segue.model.unet import isotropic_config
from segue.pipeline.exporting import Exports
from segue.pipeline.fitting import fit
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.pipeline.scoring import evaluate_files
from segue.pipeline.wishes import FitConfig
from segue.simulate import CellsConfig, simulate_cells
from segue.train.settings import BatchConfig

KINDS = CellsConfig(diameter=12, second_kind=0.5, second_brightness=4, brightness_spread=0.1, shading=0.1)
DESCRIPTION = 'classes = ["background", "red", "white"]\nobject_classes = "types"\n'


def write_two_kinds(root, seeds):
    """Images of two kinds of cells; the classes of every other image are in a table, of the others in a mask."""
    for seed in seeds:
        image, labels = simulate_cells((80, 80), seed=seed, config=KINDS)
        write_image(root / "images" / f"{seed}.tif", image)
        write_labels(root / "masks" / f"{seed}.tif", labels.ids, space=labels.space, kind="objects")
        types = root / "types" / f"{seed}.tif"
        if seed % 2:
            write_labels(types, labels.classes_of(labels.ids), space=labels.space)
        else:
            types.parent.mkdir(parents=True, exist_ok=True)
            assert labels.object_classes is not None
            rows = "".join(f"{one},{labels.classes[number]}\n" for one, number in labels.object_classes.items())
            types.with_suffix(".csv").write_text(f"id,class\n{rows}")
    (root / "dataset.toml").write_text(DESCRIPTION)
    return root


@pytest.fixture(scope="module")
def taught(tmp_path_factory, tiny_plan):
    """A model of two kinds of cells, and images that it has not seen."""
    folder = tmp_path_factory.mktemp("two-kinds")
    train, test = write_two_kinds(folder / "train", range(6)), write_two_kinds(folder / "test", range(50, 53))
    plan = tiny_plan(train)
    network = isotropic_config(
        spatial_axes=2, outputs=plan.network.outputs, width=8, depth=1, padding="same", normalization="batch"
    )
    plan = replace(
        plan,
        network=network,
        batches=BatchConfig(patch=(48, 48), batch=4, foreground=0.0),
        augment=replace(plan.augment, strength=0.2),
        train=replace(plan.train, learning_rate=0.01),
    )
    return fit(train, config=FitConfig(steps=120, plan=plan)), test


def test_a_model_tells_two_kinds_of_cells_apart_in_its_table_and_scores(taught, tmp_path):
    model, test = taught
    assert model.classes == ("background", "red", "white")
    assert model.header.network.outputs == 3 + len(model.header.auxiliary)
    output = OutputConfig(kind="objects", exports=Exports(table=("csv",), outlines=("geojson",)))
    outcomes = predict_files(model, [test / "images"], tmp_path, output=output)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    with (tmp_path / "50.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {"red", "white"}
    assert all(0.5 <= float(row["class_confidence"]) <= 1 for row in rows)
    # brighter cells are the white ones: the truth is known without the network
    brightness = {
        name: sorted(float(row["mean_0"]) for row in rows if row["class"] == name) for name in ("red", "white")
    }
    assert brightness["white"][len(brightness["white"]) // 2] > brightness["red"][len(brightness["red"]) // 2]
    found = {name: entry["mean"] for name, entry in evaluate_files(test, tmp_path)["metrics"].items()}
    assert found["class_accuracy"] > 0.75
    assert found["mean_class_average_precision"] > 0.3


def test_the_classes_of_held_out_objects_are_scored_during_the_training(taught):
    model, _ = taught
    validation = model.header.training["validation"]["metrics"]
    assert 0 <= validation["class_accuracy"]["mean"] <= 1
    assert {"average_precision/red", "average_precision/white"} <= set(validation)
    assert "mean_class_average_precision_50_95" in model.header.training["history"][-1]


def test_the_fingerprint_of_such_data_has_a_frequency_for_each_class(taught):
    model, test = taught
    assert model.header.training["fingerprint"]["objects"]["of_class"][0] == 0
    assert len(model.header.training["fingerprint"]["class_frequencies"]) == 3
    assert find_pairs(test).description.labels == "objects"
