import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.arrays import Image, Space
from segue.errors import DatasetError, ImageError, MissingInputError, TileError, UsageError
from segue.io.images import list_images, read_image, write_image
from segue.io.labels import read_mask
from segue.normalize import Normalization
from segue.objects.decode import DecodeConfig
from segue.pipeline.exporting import Exports
from segue.pipeline.large import is_large
from segue.pipeline.predicting import OutputConfig, PredictObserver, predict_files
from segue.pipeline.scoring import evaluate_files
from segue.predict.infer import PredictConfig
from segue.trained import Model


@pytest.fixture
def inputs(tmp_path, cells):
    """Two images of cells, b, of other sizes, and a file that is no image."""
    folder = tmp_path / "in"
    for name, part in (("a", np.s_[:, :40, :50]), ("b.c", np.s_[:, 10:11, 10:11])):
        image = read_image(cells / "images" / "cell-00.tif")
        space = Space(pixel_size=(0.5, 0.25), unit="micrometer")
        write_image(folder / f"{name}.tif", Image(pixels=image.pixels[part], space=space))
    return folder


@pytest.mark.parametrize("way", ["folder", "glob", "files", "text"])
def test_a_folder_a_glob_and_files_name_the_same_inputs(cell_model, inputs, tmp_path, way):
    wanted = {
        "folder": [inputs],
        "glob": [inputs / "*.tif"],
        "files": [inputs / "a.tif", inputs / "b.c.tif"],
        "text": [str(inputs)],
    }[way]
    outcomes = predict_files(cell_model, wanted, tmp_path / "out")
    assert [outcome.source.name for outcome in outcomes] == ["a.tif", "b.c.tif"]
    assert [outcome.target for outcome in outcomes] == [tmp_path / "out" / "a.tif", tmp_path / "out" / "b.c.tif"]
    assert not any(outcome.error for outcome in outcomes)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.c.tif"]


def test_what_is_written_is_what_the_model_says(cell_model, inputs, tmp_path):
    image = read_image(inputs / "a.tif")
    for kind in ("classes", "probabilities", "objects"):
        predict_files(cell_model, [inputs / "a.tif"], tmp_path / kind, output=OutputConfig(kind=kind))
    assert (read_mask(tmp_path / "classes" / "a.tif").values == cell_model.labels(image).ids).all()
    assert (read_mask(tmp_path / "objects" / "a.tif").values == cell_model.objects(image)).all()
    written = read_image(tmp_path / "probabilities" / "a.tif")
    assert (written.pixels == cell_model.answer(image).probabilities).all()
    assert written.space.pixel_size == pytest.approx((0.5, 0.25))


def test_objects_are_counted_and_only_objects(cell_model, inputs, tmp_path):
    first, second = predict_files(cell_model, [inputs], tmp_path / "out", output=OutputConfig(kind="objects"))
    assert first.objects == cell_model.objects(read_image(inputs / "a.tif")).max()
    assert second.objects in (0, 1)  # a single pixel
    assert {outcome.objects for outcome in predict_files(cell_model, [inputs], tmp_path / "other")} == {None}


def test_a_table_and_outlines_stand_beside_the_objects(cell_model, inputs, tmp_path):
    decoding = DecodeConfig(foreground_threshold=0.0)  # everything is one object
    exports = Exports(table=("csv",), outlines=("geojson",))
    output = OutputConfig(kind="objects", decoding=decoding, exports=exports)
    (outcome,) = predict_files(cell_model, [inputs / "a.tif"], tmp_path / "out", output=output)
    assert outcome.objects
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "a.geojson", "a.tif"]
    assert len((tmp_path / "out" / "a.csv").read_text().splitlines()) == 1 + outcome.objects
    features = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    assert len(features) == outcome.objects
    assert "cell" in json.dumps(features[0])


def test_one_coco_file_holds_all_images_of_a_run_but_those_that_failed(cell_model, inputs, tmp_path):
    (inputs / "aa.tif").write_bytes(b"no image")
    output = OutputConfig(kind="objects", exports=Exports(outlines=("coco",)))
    outcomes = predict_files(cell_model, [inputs], tmp_path / "out", output=output)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.c.tif", "coco.json"]
    data_set = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [image["file_name"] for image in data_set["images"]] == ["a.tif", "b.c.tif"]
    assert data_set["categories"] == [{"id": 1, "name": "cell"}]
    assert len(data_set["annotations"]) == sum(outcome.objects or 0 for outcome in outcomes)


def test_if_every_image_failed_there_is_no_coco_file(cell_model, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"no image")
    output = OutputConfig(kind="objects", exports=Exports(outlines=("coco",)))
    predict_files(cell_model, [tmp_path / "bad.tif"], tmp_path / "out", output=output)
    assert not (tmp_path / "out").exists()


def test_pictures_with_outlines_are_not_taken_for_images(cell_model, inputs, tmp_path):
    output = OutputConfig(kind="objects", exports=Exports(overlay=True))
    predict_files(cell_model, [inputs], tmp_path / "out", output=output)
    names = ["a.overlay.png", "a.tif", "b.c.overlay.png", "b.c.tif"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert [path.name for path in list_images(tmp_path / "out")] == ["a.tif", "b.c.tif"]
    assert list_images(tmp_path / "out" / "a.overlay.png") == [tmp_path / "out" / "a.overlay.png"]


def test_a_missing_library_is_said_before_anything_is_predicted(cell_model, inputs, tmp_path, monkeypatch):
    for package, exports in (("pyarrow", Exports(table=("parquet",))), ("roifile", Exports(outlines=("imagej",)))):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UsageError, match=f"pip install {package}"):
            predict_files(cell_model, [inputs], tmp_path / "out", output=OutputConfig(kind="objects", exports=exports))
        assert not (tmp_path / "out").exists()


def test_one_bad_image_does_not_stop_the_others(cell_model, inputs, tmp_path):
    (inputs / "aa.tif").write_bytes(b"no image")
    write_image(inputs / "volume.tif", Image(pixels=np.zeros((1, 3, 20, 20), np.float32)))
    told = []
    observer = PredictObserver(on_image=lambda outcome, done, total: told.append((outcome.source.name, done, total)))
    outcomes = predict_files(cell_model, [inputs], tmp_path / "out", observer=observer)
    assert told == [("a.tif", 1, 4), ("aa.tif", 2, 4), ("b.c.tif", 3, 4), ("volume.tif", 4, 4)]
    assert [outcome.error is None for outcome in outcomes] == [True, False, True, False]
    assert isinstance(outcomes[1].error, ImageError)
    assert "aa.tif" in str(outcomes[1].error)
    assert "3 spatial axes" in str(outcomes[3].error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.c.tif"]


@pytest.mark.parametrize("memory", [1 << 30, 10**6], ids=["memory", "files"])
@pytest.mark.parametrize("kind", ["classes", "probabilities", "objects"])
def test_an_image_whose_answer_is_not_finite_is_named_and_the_others_are_predicted(cell_model, tmp_path, kind, memory):
    model = cell_model.with_header(normalization=Normalization(kind="none"))
    for number in range(3):
        pixels = np.random.default_rng(number).random((1, 180, 190), np.float32)
        pixels[0, 30, 30] = 3e38 if number == 1 else 0
        write_image(tmp_path / "in" / f"{number}.tif", Image(pixels=pixels))
    config = PredictConfig(memory=memory, precision="fp32")
    assert is_large(model, 1, (180, 190), kind=kind, config=config) == (memory == 10**6)
    outcomes = predict_files(model, [tmp_path / "in"], tmp_path / "out", output=OutputConfig(kind=kind), config=config)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ImageError, type(None)]
    assert "1.tif: what the network says of it is not finite" in str(outcomes[1].error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.tif", "2.tif"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9000000000 bytes."),
    ],
    ids=["Python", "graphics card", "processor"],
)
def test_an_image_for_which_memory_is_short_does_not_stop_the_others(cell_model, inputs, tmp_path, monkeypatch, error):
    answer = Model.answer

    def short(self, image, **settings):
        if image.name.endswith("a.tif"):
            raise error
        return answer(self, image, **settings)

    monkeypatch.setattr(Model, "answer", short)
    first, second = predict_files(cell_model, [inputs], tmp_path / "out")
    assert isinstance(first.error, ImageError)
    assert "a.tif: there is not enough memory to predict it" in str(first.error)
    assert "(--max-memory 200MB)" in str(first.error)
    assert second.error is None


def test_a_mistake_of_ours_is_not_taken_for_a_want_of_memory(cell_model, inputs, tmp_path, monkeypatch):
    def fail(self, image, **settings):
        raise RuntimeError("expected scalar type Float but found BFloat16")

    monkeypatch.setattr(Model, "answer", fail)
    with pytest.raises(RuntimeError, match="expected scalar type"):
        predict_files(cell_model, [inputs], tmp_path / "out")


def test_if_nothing_could_be_written_no_folder_is_left(cell_model, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"no image")
    (outcome,) = predict_files(cell_model, [tmp_path / "bad.tif"], tmp_path / "out")
    assert outcome.error is not None
    assert not (tmp_path / "out").exists()


def test_larger_images_than_allowed_are_refused(cell_model, inputs, tmp_path):
    first, second = predict_files(cell_model, [inputs], tmp_path / "out", output=OutputConfig(max_pixels=1999))
    assert "2,000" in str(first.error)
    assert second.error is None


def test_tiles_are_reported_and_change_nothing(cell_model, cells, tmp_path):
    told = []
    source = cells / "images" / "cell-01.tif"
    output = OutputConfig(kind="probabilities")
    tiles = PredictConfig(tile=40, precision="fp32")
    observer = PredictObserver(on_tile=lambda done, total: told.append((done, total)))
    other = cells / "images" / "cell-02.tif"
    predict_files(cell_model, [source, other], tmp_path / "tiles", output=output, config=tiles, observer=observer)
    predict_files(cell_model, [source], tmp_path / "whole", output=output, config=PredictConfig(precision="fp32"))
    each = len(told) // 2
    assert each > 1
    assert [total for _, total in told] == [2] * (2 * each)
    assert [done for done, _ in told] == pytest.approx([(number + 1) / each for number in range(2 * each)])
    parts, whole = (read_image(tmp_path / way / "cell-01.tif").pixels for way in ("tiles", "whole"))
    assert np.abs(parts - whole).max() <= 1e-5


def test_a_tile_that_keeps_nothing_is_a_mistake_of_the_user_and_not_of_an_image(cell_model, inputs, tmp_path):
    with pytest.raises(TileError, match="tile"):
        predict_files(cell_model, [inputs], tmp_path / "out", config=PredictConfig(tile=2))
    assert not (tmp_path / "out").exists()


def test_two_inputs_with_one_answer_are_refused_before_anything_is_written(cell_model, inputs, tmp_path):
    write_image(tmp_path / "other" / "a.tif", Image(pixels=np.zeros((1, 20, 20), np.float32)))
    with pytest.raises(UsageError, match=r"in/a\.tif and .*other/a\.tif would both be answered with .*two folders"):
        predict_files(cell_model, [inputs, tmp_path / "other"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_answers_of_two_formats_whose_exports_would_have_one_name_are_refused(cell_model, tmp_path):
    for name in ("a.png", "a.nii.gz"):
        write_image(tmp_path / "in" / name, Image(pixels=np.zeros((1, 20, 20), np.float32)))
    outcomes = predict_files(cell_model, [tmp_path / "in"], tmp_path / "out", output=OutputConfig(kind="objects"))
    assert sorted(outcome.target.name for outcome in outcomes) == ["a.nii.gz", "a.tif"]
    output = OutputConfig(kind="objects", exports=Exports(table=("csv",)))
    with pytest.raises(UsageError, match=r"would both be answered with .*both/a\.\*; predict them into two folders"):
        predict_files(cell_model, [tmp_path / "in"], tmp_path / "both", output=output)
    assert not (tmp_path / "both").exists()


def test_an_image_is_never_overwritten_by_its_answer(cell_model, inputs):
    before = (inputs / "a.tif").read_bytes()
    with pytest.raises(UsageError, match="would be overwritten by its own answer; give another folder"):
        predict_files(cell_model, [inputs], inputs)
    assert (inputs / "a.tif").read_bytes() == before


@pytest.mark.parametrize("name", ["nowhere", "*.nothing"])
def test_an_input_that_names_nothing_is_missing(cell_model, tmp_path, name):
    with pytest.raises(MissingInputError, match=name.replace("*", r"\*")):
        predict_files(cell_model, [tmp_path / name], tmp_path / "out")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"kind": "masks"}, '"classes", "probabilities" or "objects", not "masks"'),
        ({"exports": Exports(table=("csv",))}, "ask for objects instead of classes"),
        ({"kind": "probabilities", "exports": Exports(overlay=True)}, "ask for objects instead of probabilities"),
        ({"decoding": DecodeConfig()}, "settings of the decoding are of objects"),
    ],
)
def test_outputs_that_do_not_exist_are_refused(wishes, message):
    with pytest.raises(UsageError, match=message):
        OutputConfig(**wishes)


def layout_of_the_tracking_challenge(cells, root):
    for number, place in enumerate(("01", "02")):
        for kind, name in (("images", f"{place}/t000.tif"), ("masks", f"{place}_GT/SEG/man_seg000.tif")):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_bytes((cells / kind / f"cell-0{number}.tif").read_bytes())
    return [root / "01", root / "02"]


def layout_of_nnunet(cells, root):
    for number, case in enumerate(("a", "b")):
        for kind, name in (("images", f"imagesTr/{case}_0000.tif"), ("masks", f"labelsTr/{case}.tif")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((cells / kind / f"cell-0{number}.tif").read_bytes())
    (root / "dataset.json").write_text('{"channel_names": {"0": "DAPI"}, "labels": {"background": 0, "cell": 1}}')
    (root / "dataset.toml").write_text('labels = "objects"\nvalues = { 0 = 0 }\n')
    return [root / "imagesTr"]


@pytest.mark.parametrize(
    ("make", "names"),
    [(layout_of_the_tracking_challenge, ["01_t000", "02_t000"]), (layout_of_nnunet, ["a", "b"])],
)
def test_answers_are_called_like_the_pairs_of_the_data_set_and_so_can_be_scored(
    cell_model, cells, tmp_path, make, names
):
    inputs = make(cells, tmp_path / "data")
    outcomes = predict_files(cell_model, inputs, tmp_path / "out", output=OutputConfig(kind="objects"))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert [path.name for path in list_images(tmp_path / "out")] == [f"{name}.tif" for name in names]
    summary = evaluate_files(tmp_path / "data", tmp_path / "out")
    assert [row["name"] for row in summary["per_image"]] == names
    assert (summary["kind"], summary["missing"]) == ("objects", [])


def test_the_pixel_size_of_a_frame_is_that_which_the_description_says_of_its_pair(sized_model, cells, tmp_path):
    inputs = layout_of_the_tracking_challenge(cells, tmp_path / "data")
    (tmp_path / "data" / "dataset.toml").write_text("pixel_size = [0.5, 0.5]\n[pixel_sizes]\n'01_*' = [1.0, 1.0]\n")
    outcomes = predict_files(sized_model, inputs, tmp_path / "out")
    assert [(outcome.pixel_size, outcome.resampled) for outcome in outcomes] == [
        ((1.0, 1.0), True),
        ((0.5, 0.5), False),
    ]


@pytest.fixture
def sized_model(cell_model):
    return cell_model.with_header(pixel_size=(0.5, 0.5), unit="micrometer")


def test_an_image_of_other_pixels_is_answered_on_its_own_pixels_and_that_is_said(sized_model, inputs, tmp_path):
    (outcome, _) = predict_files(sized_model, [inputs], tmp_path / "out", output=OutputConfig(kind="probabilities"))
    assert outcome.pixel_size == pytest.approx((0.5, 0.25))
    assert outcome.resampled
    image, written = read_image(inputs / "a.tif"), read_image(outcome.target)
    assert written.shape == image.shape
    assert (written.pixels == sized_model.answer(image).probabilities).all()
    assert written.space.pixel_size == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize("given", [(0.5,), (0.5, 0.5)])
def test_a_pixel_size_that_is_given_overrides_the_file(sized_model, cell_model, inputs, tmp_path, given):
    config = OutputConfig(kind="probabilities", pixel_size=given)
    (outcome,) = predict_files(sized_model, [inputs / "a.tif"], tmp_path / "out", output=config)
    assert (outcome.pixel_size, outcome.resampled) == ((0.5, 0.5), False)
    written = read_image(outcome.target)
    assert (written.pixels == cell_model.answer(read_image(inputs / "a.tif")).probabilities).all()
    assert written.space.pixel_size == pytest.approx((0.5, 0.5))


def test_a_pixel_size_for_other_axes_is_the_outcome_of_that_image(sized_model, inputs, tmp_path):
    config = OutputConfig(pixel_size=(1.0, 0.5, 0.5))
    (outcome,) = predict_files(sized_model, [inputs / "a.tif"], tmp_path / "out", output=config)
    assert isinstance(outcome.error, ImageError)
    assert "2 spatial axes, but 3 pixel sizes are given" in str(outcome.error)


def test_the_description_of_the_data_set_says_the_pixel_size_of_its_images(sized_model, inputs, tmp_path):
    image = read_image(inputs / "a.tif")
    for place in ("set/images/a.tif", "set/images/b.tif", "flat/a.tif"):
        write_image(tmp_path / place, replace(image, space=Space()))
    (tmp_path / "set" / "dataset.toml").write_text("pixel_size = [2.0, 1.0]\n[pixel_sizes]\n'b*' = [0.5, 0.5]\n")
    (tmp_path / "flat" / "dataset.toml").write_text("pixel_size = [1.0, 1.0]\n")
    for part, expected in {
        "set/images": [((2.0, 1.0), True), ((0.5, 0.5), False)],
        "flat": [((1.0, 1.0), True)],
    }.items():
        outcomes = predict_files(sized_model, [tmp_path / part], tmp_path / "out" / part)
        assert [(outcome.pixel_size, outcome.resampled) for outcome in outcomes] == expected
    (tmp_path / "flat" / "dataset.toml").write_text("pixel_size = 1\n")
    (outcome,) = predict_files(sized_model, [tmp_path / "flat"], tmp_path / "other")
    assert isinstance(outcome.error, DatasetError)
