import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.arrays import Image, Space
from segue.errors import ImageError, MissingInputError, UsageError
from segue.model.file import ModelHeader
from segue.model.unet import UNet, initialize, isotropic_config
from segue.normalize import Normalization, normalize
from segue.objects.decode import DecodeConfig, decode_objects
from segue.predict.infer import PredictConfig, predict
from segue.resample import resample_values, with_pixel_size
from segue.trained import Answer, Model, at_magnification, load, most_probable, objects_of, with_user_wishes


def model_of(axes=2, *, classes=("background", "a", "b"), auxiliary=(), channels=1, seed=0, **header):
    outputs = len(classes) + len(auxiliary)
    sizes = {"spatial_axes": axes, "channels": channels, "outputs": outputs}
    network = UNet(isotropic_config(depth=1, width=4, padding="same", normalization="batch", **sizes))
    initialize(network, generator=torch.Generator().manual_seed(seed))
    fields = {
        "segue": "0",
        "network": network.config,
        "kind": "objects" if auxiliary else "classes",
        "classes": classes,
        "auxiliary": auxiliary,
        "normalization": Normalization(),
    }
    return Model(ModelHeader(**fields | header), network)


def image_of(shape=(30, 41), channels=1, seed=0, **facts):
    pixels = np.random.default_rng(seed).uniform(0, 255, (channels, *shape)).astype(np.float32)
    return Image(pixels=pixels, space=Space(pixel_size=(0.5,) * len(shape), unit="micrometer"), **facts)


@pytest.mark.parametrize("shape", [(30, 41), (1, 1), (5, 9, 7)])
def test_probabilities_sum_to_1_in_every_pixel_of_the_image(shape):
    model, image = model_of(len(shape)), image_of(shape)
    found = model.probabilities(image)
    assert found.shape == (3, *shape)
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)
    assert model.answer(image).space == image.space


def test_labels_are_the_most_probable_classes():
    model, image = model_of(), image_of()
    labels = model.labels(image)
    assert (labels.ids == model.probabilities(image).argmax(axis=0)).all()
    assert labels.ids.dtype == np.int32
    assert (labels.kind, labels.classes, labels.space) == ("classes", model.classes, image.space)


def test_of_equally_probable_classes_the_lower_id_is_taken():
    answer = Answer(np.full((3, 1, 2), 1 / 3, np.float32), None, Space())
    assert most_probable(answer).tolist() == [[0, 0]]


def test_an_answer_is_the_prediction_of_the_normalised_image():
    model, image = model_of(auxiliary=("distance",)), image_of()
    whole = predict(model._network, normalize(image, Normalization()), classes=3, config=model.prediction())
    answer = model.answer(image)
    assert (answer.probabilities == whole[:3]).all()
    assert (answer.distance == whole[3]).all()
    assert (answer.foreground == 1 - whole[0]).all()
    assert 0 <= answer.distance.min() <= answer.distance.max() <= 1


def test_a_network_without_maps_has_no_distance():
    assert model_of().answer(image_of()).distance is None


def test_objects_are_decoded_as_the_header_says_unless_the_caller_says_otherwise():
    model, image = (
        model_of(auxiliary=("distance",), decoding={"foreground_threshold": 0.6, "smallest_object": 3}),
        image_of(),
    )
    answer = model.answer(image)
    assert model.decoding == DecodeConfig(foreground_threshold=0.6, smallest_object=3)
    objects = model.objects(image)
    assert objects.dtype == np.uint32
    assert objects.max() > 0
    assert (objects == decode_objects(answer.foreground, answer.distance, config=model.decoding)).all()
    other = DecodeConfig(foreground_threshold=0.3)
    mine = model.objects(image, decoding=other)
    assert (mine == decode_objects(answer.foreground, answer.distance, config=other)).all()
    assert (mine != objects).any()


def test_the_way_of_prediction_is_the_models_own():
    model = model_of(mirror=True, context=20)
    assert model.prediction() == PredictConfig(mirror=True, context=20)
    image = image_of()
    plain = model.probabilities(image, config=PredictConfig(mirror=False))
    assert not np.allclose(model.probabilities(image), plain)


def test_gray_and_colour_fit_a_colour_network():
    model = model_of(channels=3, rgb=True)
    gray = image_of()
    colour = replace(gray, pixels=gray.pixels.repeat(3, axis=0), is_rgb=True)
    assert (model.probabilities(gray) == model.probabilities(colour)).all()


@pytest.mark.parametrize(
    ("model", "image", "message"),
    [
        (
            model_of(2),
            image_of((3, 8, 8), name="v.tif"),
            r"v\.tif: it has 3 spatial axes, .* 2D images; split the volume",
        ),
        (model_of(3), image_of((8, 8)), r"the image: it has 2 spatial axes, .* 3D images; give it a volume"),
        (model_of(2), image_of((8, 8), channels=2), "2 channels, but the network was trained on 1"),
    ],
)
def test_images_of_another_kind_are_refused(model, image, message):
    with pytest.raises(ImageError, match=message):
        model.labels(image)


def test_a_pixel_that_is_no_number_is_refused():
    image = image_of()
    image.pixels[0, 0, 0] = np.nan
    with pytest.raises(ImageError, match="NaN or infinite"):
        model_of().labels(image)


def test_a_model_is_the_same_after_saving_and_loading(tmp_path):
    model, image = model_of(auxiliary=("distance",)), image_of()
    model.save(tmp_path / "m.segue")
    for again in (load(tmp_path / "m.segue"), Model.load(str(tmp_path / "m.segue"))):
        assert again.header == model.header
        np.testing.assert_allclose(again.probabilities(image), model.probabilities(image), atol=1e-6)


def test_a_missing_model_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match="there is no such file"):
        load(tmp_path / "m.segue")


def test_a_header_is_changed_in_a_copy():
    model = model_of()
    changed = model.with_header(mirror=True)
    assert changed.header.mirror
    assert not model.header.mirror
    assert changed.classes == model.classes


@pytest.mark.parametrize("shape", [(30, 41), (5, 9, 7)])
def test_an_answer_that_is_not_finite_is_an_image_error(shape):
    model = model_of(len(shape))
    list(model.weights().values())[-1].fill_(torch.nan)  # the bias of the last layer: a ReLU would make it 0
    with pytest.raises(ImageError, match=r"a\.tif: what the network says of it is not finite, as if values were far"):
        model.answer(image_of(shape, name="a.tif"))


def test_tiles_are_counted():
    told = []
    config = PredictConfig(tile=32, context=0)
    model_of().answer(image_of((64, 64)), config=config, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 1
    assert told == [(number, len(told)) for number in range(1, len(told) + 1)]


OWN = PredictConfig(context=20, mirror=True)
SILENT = {"tile": None, "memory": None, "precision": None, "mirror": None}


def test_without_wishes_the_models_own_settings_hold():
    assert with_user_wishes(OWN, **SILENT) == OWN


@pytest.mark.parametrize("wish", [{"tile": 64}, {"memory": 1 << 21}, {"precision": "fp32"}, {"mirror": False}])
def test_a_wish_changes_what_it_names_and_nothing_else(wish):
    assert with_user_wishes(OWN, **SILENT | wish) == replace(OWN, **wish)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"tile": 0}, "at least 1 px, not 0"),
        ({"memory": 1000}, "at least 1 MB, not 1,000"),
        ({"precision": "fp16"}, 'not "fp16"'),
    ],
)
def test_impossible_wishes_are_refused(wish, message):
    with pytest.raises(UsageError, match=message):
        with_user_wishes(OWN, **SILENT | wish)


MICROMETRES = {"unit": "micrometer"}


@pytest.mark.parametrize(
    ("shape", "size", "seen"),
    [
        ((30, 41), (1.0, 1.0), (60, 82)),
        ((30, 41), (0.25, 0.25), (15, 21)),
        ((6, 20, 20), (2.0, 0.25, 0.25), (6, 10, 10)),
        ((6, 20, 20), (5.0, 0.5, 0.5), (15, 20, 20)),
    ],
)
def test_an_image_with_other_pixels_is_resampled_as_a_whole_and_its_answer_back(shape, size, seen):
    works_at = (2.0, 0.5, 0.5)[-len(shape) :]
    model = model_of(len(shape), auxiliary=("distance",), pixel_size=works_at, **MICROMETRES)
    image = replace(image_of(shape), space=Space(pixel_size=size, unit="micrometer"))
    at_work = with_pixel_size(image, model.working)
    assert at_work.shape == seen
    network = predict(model._network, normalize(at_work, Normalization()), classes=3, config=model.prediction())
    answer = model.answer(image)
    assert (answer.probabilities == resample_values(network[:3], shape)).all()
    assert answer.distance is not None
    assert (answer.distance == resample_values(network[3:], shape)[0]).all()
    assert (answer.space, answer.worked_on) == (image.space, seen)
    np.testing.assert_allclose(answer.probabilities.sum(axis=0), 1, atol=1e-6)


def test_tiles_do_not_change_the_answer_for_a_resampled_image():
    model = model_of(pixel_size=(0.4, 0.4), **MICROMETRES)
    image = image_of((70, 90))
    whole = model.probabilities(image, config=PredictConfig(precision="fp32"))
    tiled = model.probabilities(image, config=PredictConfig(precision="fp32", tile=40))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("header", "space"),
    [
        ({}, Space(pixel_size=(7.0, 7.0), unit="micrometer")),
        ({"pixel_size": (0.5, 0.5), "unit": "micrometer"}, Space()),
        ({"pixel_size": (0.5, 0.5), "unit": "micrometer"}, Space(pixel_size=(0.52, 0.47), unit="micrometer")),
    ],
)
def test_unknown_and_like_pixel_sizes_change_nothing(header, space):
    image = replace(image_of(), space=space)
    answer = model_of(**header).answer(image)
    assert (answer.probabilities == model_of().answer(image).probabilities).all()
    assert answer.worked_on is None
    assert answer.magnification == 1


def test_sizes_of_the_decoding_are_those_of_the_pixels_that_the_network_works_at():
    decoding = DecodeConfig(smallest_object=10, smoothing=0.5)
    assert at_magnification(decoding, 1.0, axes=2) is decoding
    finer = at_magnification(decoding, 2.0, axes=2)
    assert (finer.smallest_object, finer.smoothing) == (40, 1.0)
    assert at_magnification(decoding, 2.0, axes=3).smallest_object == 80
    assert at_magnification(decoding, 0.1, axes=2).smallest_object == 1
    probabilities = np.zeros((2, 20, 20), np.float32)
    probabilities[0], probabilities[:, 5:9, 5:9] = 1, [[[0.0]], [[1.0]]]
    answer = Answer(probabilities, None, Space(), worked_on=(10, 10))
    assert answer.magnification == 2
    assert objects_of(answer, DecodeConfig(smallest_object=4)).max() == 1  # 16 pixels are 4 of the network's
    assert objects_of(answer, DecodeConfig(smallest_object=5)).max() == 0


def test_large_maps_are_decoded_in_blocks_to_the_same_objects(monkeypatch):
    rng = np.random.default_rng(0)
    foreground, distance = rng.random((2, 60, 70)).astype(np.float32)
    answer = Answer(np.stack([1 - foreground, foreground]), distance, Space())
    whole = objects_of(answer, DecodeConfig(smoothing=1))
    monkeypatch.setattr("segue.trained.DECODED_AT_ONCE", 1000)
    assert whole.max() > 10
    assert (objects_of(answer, DecodeConfig(smoothing=1)) == whole).all()


def bytes_beyond(work: Callable[[], object]) -> int:
    """The most memory that some work has at a time, beside what was there before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_beside_an_answer_no_map_of_its_size_is_made_but_the_ids(monkeypatch):
    monkeypatch.setattr("segue.trained.DECODED_AT_ONCE", 1000)
    monkeypatch.setattr("segue.trained._COMPARED_AT_ONCE", 1 << 14)
    monkeypatch.setattr("segue.objects.blocks.SIDES", {2: 128})
    probabilities = np.zeros((2, 1024, 1024), np.float32)
    probabilities[0] = 1
    small, large = (Answer(probabilities[:, :side, :side], None, Space()) for side in (128, 1024))
    objects_of(small, DecodeConfig())  # imports what it needs
    assert bytes_beyond(lambda: most_probable(large)) < 5 * 1024**2  # 4 for the ids
    assert bytes_beyond(lambda: objects_of(large, DecodeConfig())) < 15 * 1024**2  # 4 for the ids, 9 to work in
