"""The way through files says what the way through memory says, and takes no more memory for more pixels."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from segue.arrays import Image, Space
from segue.errors import ImageError
from segue.io import staging
from segue.io.images import read_image, write_image
from segue.io.labels import read_mask
from segue.io.staging import claimed_shape
from segue.model.file import ModelHeader
from segue.model.unet import UNet, initialize, isotropic_config
from segue.normalize import Normalization
from segue.objects import blocks
from segue.objects.decode import DecodeConfig
from segue.pipeline import large, predicting
from segue.pipeline.exporting import Exports
from segue.pipeline.large import LargeWishes, is_large, predict_large
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.predict.infer import PredictConfig
from segue.simulate import CellsConfig, simulate_cells
from segue.trained import Model

SMALL = PredictConfig(memory=10**6, precision="fp32")
AMPLE = PredictConfig(memory=1 << 30, precision="fp32")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """So that images of a test consist of many parts."""
    monkeypatch.setattr(staging, "_BAND", 2000)
    monkeypatch.setattr(blocks, "SIDES", {2: 50, 3: 10})


@pytest.fixture
def cell_image(tmp_path):
    """180 x 190 pixels: with 1 MB for a tile it is large."""
    image, _ = simulate_cells((180, 190), seed=5, config=CellsConfig(diameter=14))
    image = replace(image, space=Space(pixel_size=(0.5, 0.25), unit="micrometer"))
    write_image(tmp_path / "in" / "a.tif", image)
    return tmp_path / "in" / "a.tif"


def both_ways(model, source, tmp_path, **output):
    """The answers through memory and through files, and what is said of them."""
    answers = []
    for name, config in (("memory", AMPLE), ("files", SMALL)):
        (outcome,) = predict_files(
            model, [source], tmp_path / name, output=OutputConfig(**output), config=replace(config, tile=40)
        )
        assert outcome.error is None
        answers.append(replace(outcome, target=source))
    assert answers[0] == answers[1]
    return tmp_path / "memory" / "a.tif", tmp_path / "files" / "a.tif"


@pytest.mark.parametrize("kind", ["classes", "probabilities", "objects"])
def test_both_ways_write_the_same(cell_model, cell_image, tmp_path, kind):
    assert claimed_shape(cell_image, max_pixels=10**6) == (1, 180, 190)
    assert is_large(cell_model, 1, (180, 190), kind=kind, config=SMALL)
    assert not is_large(cell_model, 1, (180, 190), kind=kind, config=AMPLE)
    memory, files = both_ways(cell_model, cell_image, tmp_path, kind=kind)
    expected, found = (tifffile.imread(path) for path in (memory, files))
    assert found.dtype == expected.dtype
    assert (found == expected).all()
    assert read_image(files).space == read_image(memory).space
    with tifffile.TiffFile(files) as tif:
        assert tif.pages.first.is_tiled
        assert tif.pages.first.compression == 8  # zlib
    assert [path.name for path in files.parent.iterdir()] == ["a.tif"]
    if kind == "objects":
        assert found.max() > 10


def test_what_stands_beside_the_objects_is_the_same_too(cell_model, cell_image, tmp_path):
    exports = Exports(table=["csv"], outlines=["geojson", "coco"])
    memory, files = both_ways(cell_model, cell_image, tmp_path, kind="objects", exports=exports)
    names = sorted(path.name for path in memory.parent.iterdir())
    assert names == ["a.csv", "a.geojson", "a.tif", "coco.json"]
    for name in ("a.csv", "a.geojson", "coco.json"):
        assert (files.parent / name).read_text() == (memory.parent / name).read_text()


def test_the_users_pixel_size_and_decoding_are_heeded(cell_model, cell_image, tmp_path):
    decoding = DecodeConfig(foreground_threshold=0.0, smoothing=2)
    both_ways(cell_model, cell_image, tmp_path, kind="objects", decoding=decoding, pixel_size=(0.125,))
    assert read_image(tmp_path / "files" / "a.tif").space.pixel_size == pytest.approx((0.125, 0.125))


def network_of(axes, *, channels=1, rgb=False, pixel_size=None, kind="standard", seed=0) -> Model:
    """A model that was never trained: its answer varies all the same."""
    config = isotropic_config(
        spatial_axes=axes, depth=1, width=4, padding="same", normalization="batch", channels=channels, outputs=3
    )
    network = UNet(config)
    initialize(network, generator=torch.Generator().manual_seed(seed))
    header = ModelHeader(
        segue="test",
        network=config,
        classes=("background", "cell"),
        kind="objects",
        auxiliary=("distance",),
        normalization=Normalization(kind=kind),
        rgb=rgb,
        pixel_size=pixel_size,
        unit="micrometer" if pixel_size else "pixel",
        decoding={"foreground_threshold": 0.4, "smallest_dip": 0.5},
    )
    return Model(header, network.eval())


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("network", "image"),
    [
        pytest.param(
            {"channels": 3, "rgb": True}, Image(pixels=RNG.random((1, 90, 110), np.float32)), id="gray to RGB"
        ),
        pytest.param({}, Image(pixels=RNG.integers(0, 255, (3, 90, 110)).astype(np.float32), is_rgb=True), id="RGB"),
        pytest.param(
            {"channels": 3, "rgb": True, "kind": "percentile"},
            Image(pixels=RNG.integers(0, 255, (3, 90, 110)).astype(np.float32), is_rgb=True),
            id="colour network",
        ),
        pytest.param({"channels": 2}, Image(pixels=RNG.random((2, 90, 110), np.float32)), id="two channels"),
        pytest.param(
            {"pixel_size": (0.4, 0.4)},
            Image(
                pixels=RNG.random((1, 190, 200), np.float32),
                space=Space(pixel_size=(0.2, 0.3), unit="micrometer"),
            ),
            id="resampled",
        ),
    ],
)
def test_channels_and_pixel_sizes_are_made_to_fit_in_the_same_way(network, image, tmp_path):
    write_image(tmp_path / "a.tif", image)
    model = network_of(2, **network)
    for kind in ("probabilities", "objects"):
        paths = both_ways(model, tmp_path / "a.tif", tmp_path / kind, kind=kind)
        memory, files = (tifffile.imread(path) for path in paths)
        assert (files == memory).all()
        assert np.ptp(memory) > 0


def test_an_image_that_is_large_only_at_the_pixel_size_of_the_network_goes_through_files(tmp_path, monkeypatch):
    space = Space(pixel_size=(1.0, 1.0), unit="micrometer")
    write_image(tmp_path / "a.tif", Image(pixels=RNG.random((1, 40, 40), np.float32), space=space))
    model = network_of(2, pixel_size=(0.2, 0.2))
    assert not is_large(model, 1, (40, 40), kind="probabilities", config=SMALL)
    assert is_large(model, 1, (200, 200), kind="probabilities", config=SMALL)
    gone, answer_large = [], predicting._answer_large

    def noted(model, source, *others):
        gone.append(source.file.name)
        return answer_large(model, source, *others)

    monkeypatch.setattr(predicting, "_answer_large", noted)
    memory, files = (
        tifffile.imread(path) for path in both_ways(model, tmp_path / "a.tif", tmp_path, kind="probabilities")
    )
    assert (files == memory).all()
    assert gone == ["a.tif"]


def test_the_channel_files_of_a_case_are_one_image_however_large_it_is(tmp_path):
    model, pixels = network_of(2, channels=2), RNG.random((2, 180, 190), np.float32)
    assert is_large(model, 2, (180, 190), kind="probabilities", config=SMALL)
    for number in (0, 1):
        write_image(tmp_path / "imagesTs" / f"c_000{number}.tif", Image(pixels=pixels[number : number + 1]))
    write_image(tmp_path / "joined" / "c.tif", Image(pixels=pixels))
    names = {"channel_names": {"0": "a", "1": "b"}, "labels": {"background": 0, "cell": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps(names))
    answers = []
    for folder in ("imagesTs", "joined"):
        output = OutputConfig(kind="probabilities")
        (outcome,) = predict_files(model, [tmp_path / folder], tmp_path / "out" / folder, output=output, config=SMALL)
        assert outcome.error is None
        answers.append(tifffile.imread(tmp_path / "out" / folder / "c.tif"))
    assert (answers[0] == answers[1]).all()


def test_volumes_go_the_same_way(tmp_path):
    image = Image(pixels=RNG.random((1, 12, 40, 43), np.float32))
    assert is_large(network_of(3), 1, image.shape, kind="objects", config=SMALL)
    write_image(tmp_path / "a.tif", image)
    paths = both_ways(network_of(3), tmp_path / "a.tif", tmp_path, kind="objects")
    memory, files = (read_mask(path).values for path in paths)
    assert (files == memory).all()
    assert memory.max() > 1


def test_an_image_that_does_not_fit_the_network_is_an_image_error_before_it_is_brought_into_a_file(
    tmp_path, monkeypatch
):
    def stage(*_, **__):
        raise AssertionError("it was staged")

    monkeypatch.setattr(large, "stage_image", stage)
    write_image(tmp_path / "a.tif", Image(pixels=RNG.random((1, 20, 40, 45), np.float32)))
    (outcome,) = predict_files(network_of(2), [tmp_path / "a.tif"], tmp_path / "out", config=SMALL)
    assert isinstance(outcome.error, ImageError)
    assert "3 spatial axes" in str(outcome.error)
    assert not (tmp_path / "out").exists()


def test_wild_values_are_found_in_files_as_well(tmp_path):
    pixels = RNG.random((1, 200, 200), np.float32)
    pixels[0, 149, 0] = np.nan
    write_image(tmp_path / "a.tif", Image(pixels=pixels))
    (outcome,) = predict_files(network_of(2), [tmp_path / "a.tif"], tmp_path / "out", config=SMALL)
    assert "1 of 40000 pixels are NaN or infinite" in str(outcome.error)


def test_a_prediction_that_ends_on_the_way_leaves_nothing(cell_model, cell_image, tmp_path):
    class StopError(Exception):
        pass

    def stop(done, total):
        raise StopError

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.tif").write_bytes(b"older")
    with pytest.raises(StopError):
        predict_large(
            cell_model,
            cell_image,
            tmp_path / "out" / "a.tif",
            wishes=LargeWishes(kind="classes"),
            config=SMALL,
            progress=stop,
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]
    assert (tmp_path / "out" / "a.tif").read_bytes() == b"older"


PREDICT = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from segue.io import staging
from segue.objects import blocks
from segue.pipeline.exporting import Exports
from segue.pipeline.predicting import OutputConfig, predict_files
from segue.predict.infer import PredictConfig
from segue.trained import Model
blocks.SIDES = {2: 256}
staging._BAND = 1 << 17
model = Model.load(sys.argv[1])
config = PredictConfig(memory=10**7, tile=256, precision="fp32")
output = OutputConfig(kind="objects", exports=Exports(table=("csv",), outlines=("geojson",)))
peaks = []
for source in sys.argv[3:]:
    predict_files(model, [source], Path(sys.argv[2]), output=output, config=config)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peaks.append(int(status["VmHWM"].split()[0]))  # ru_maxrss would begin with that of the parent
print(json.dumps(peaks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process as Linux tells it")
def test_memory_for_objects_their_table_and_their_outlines_does_not_grow_with_the_image(tmp_path):
    model = network_of(2)
    few_objects = model.header.decoding | {"smoothing": 3.0}  # the numbers of objects do take memory
    model.with_header(decoding=few_objects).save(tmp_path / "a.segue")
    image, _ = simulate_cells((256, 256), seed=1, config=CellsConfig(diameter=20))
    sources = []
    for side in (512, 1280):
        sources.append(str(tmp_path / f"{side}.tif"))
        tifffile.imwrite(sources[-1], np.tile(image.pixels[0], (side // 256, side // 256)), compression="zlib")
    command = [sys.executable, "-c", PREDICT, str(tmp_path / "a.segue"), str(tmp_path / "out"), *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = json.loads(done.stdout)
    # In memory the larger one would take 45 bytes for each of 1,376,256 more pixels, 62 MB; some buffers do fill.
    assert (second - first) * 1024 < 28 * 10**6
