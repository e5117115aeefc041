import tomllib

import numpy as np
import pytest

from segue.fingerprint import examine
from segue.io.datasets import find_pairs
from segue.io.images import read_image
from segue.io.labels import read_mask
from segue.pipeline import demonstration
from segue.pipeline.demonstration import SUBJECTS, TRAINING_IMAGES, UNSEEN_IMAGES, demonstrate, simulate_files
from segue.pipeline.fitting import fit
from segue.pipeline.wishes import FitConfig


@pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])
def test_what_is_simulated_is_a_data_set_without_errors(tmp_path, subject):
    simulate_files(subject, tmp_path, seed=5, side=64, large=96)
    for part, count in (("train", TRAINING_IMAGES), ("unseen", UNSEEN_IMAGES + 1)):
        examination = examine(find_pairs(tmp_path / part))
        assert examination.errors == ()
        assert len(examination.images) == count
        assert examination.spec is not None
        assert examination.spec.classes == subject.classes
        assert examination.spec.kind == subject.output
        assert tomllib.loads((tmp_path / part / "dataset.toml").read_text())["classes"] == list(subject.classes)
    sides = sorted(read_image(path).shape[0] for path in (tmp_path / "unseen" / "images").iterdir())
    assert sides == [64, 64, 64, 96]


def test_no_image_is_simulated_twice(tmp_path):
    simulate_files(SUBJECTS[0], tmp_path, seed=5, side=64, large=64)
    images = [read_image(path).pixels.tobytes() for path in tmp_path.glob("*/images/*.tif")]
    assert len(set(images)) == TRAINING_IMAGES + UNSEEN_IMAGES + 1


def test_the_demo_trains_predicts_scores_and_draws_every_subject(tmp_path, monkeypatch, tiny_plan):
    def quick_fit(pairs, *, config, observer):
        told = FitConfig(steps=2, plan=tiny_plan(pairs), out=config.out)
        assert config.budget == 60.0
        return fit(pairs, config=told, observer=observer)

    def small_files(subject, folder, *, seed):
        simulate_files(subject, folder, seed=seed, side=48, large=64)

    monkeypatch.setattr(demonstration, "fit", quick_fit)
    monkeypatch.setattr(demonstration, "simulate_files", small_files)
    said: list[str] = []
    results = demonstrate(tmp_path / "demo", seconds=120.0, say=said.append)
    assert [result.subject.name for result in results] == ["cells", "membranes"]
    for result in results:
        assert result.summary["images"] == UNSEEN_IMAGES + 1
        assert result.subject.headline in result.summary["metrics"]
        assert result.picture.read_bytes().startswith(b"\x89PNG")
        names = {path.name for path in result.folder.iterdir()}
        assert {"train", "unseen", "predicted", "scores.json", "picture.png", f"{result.subject.name}.segue"} <= names
        for path in (result.folder / "predicted").iterdir():
            assert read_mask(path).values.shape == read_image(result.folder / "unseen" / "images" / path.name).shape
    assert any("10 images to learn from" in line for line in said)
    assert np.mean([len(line) for line in said]) < 200
