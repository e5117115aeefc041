import json

import numpy as np
import pytest
import torch

from segue.errors import MissingInputError, ModelFileError
from segue.io.tensors import read_tensors, write_tensors
from segue.model.file import FORMAT, ModelFile, ModelHeader, read_model, write_model
from segue.model.unet import UNet, UNetConfig, isotropic_config, memory_format
from segue.normalize import Normalization

FLAT = isotropic_config(spatial_axes=2, depth=2, width=3, channels=2, outputs=4, padding="same", normalization="batch")
DEEP = UNetConfig(
    spatial_axes=3, width=2, outputs=3, factors=((1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3))
)


def header_of(network, **changes):
    fields = {
        "segue": "1.2.3",
        "network": network,
        "kind": "objects",
        "classes": ("background", "cell"),
        "auxiliary": ("distance", "other")[: network.outputs - 2],
        "rgb": True,
        "normalization": Normalization(kind="fixed", mean=(0.1, 1 / 3), std=(1e-9, 7.0), clip=((-1.0, 2.5),)),
        "pixel_size": (0.1, 1 / 3, 5.0)[-network.spatial_axes :],
        "unit": "micrometer",
        "context": 24,
        "mirror": True,
        "decoding": {"smallest_dip": 0.7},
        "training": {"history": [{"step": 3.0, "score": 1 / 3}], "words": 'µm, "quoted", 核', "nothing": None},
    }
    return ModelHeader(**fields | changes)


def model_of(network):
    """A network whose every number, statistics of the normalisation too, is random."""
    torch.manual_seed(0)
    built = UNet(network)
    for name, tensor in built.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape).abs() + 0.1 if "running" in name else torch.randn(tensor.shape))
        else:
            tensor.fill_(2**40 + 1)  # more than a float32 could hold
    return ModelFile(header_of(network), built.eval())


def answer_of(network, image):
    """What a network says, always in the same order of the memory: the order of the sums, and so their rounding."""
    network.to(memory_format=memory_format(network.config.spatial_axes))
    with torch.inference_mode():
        return network(image)


@pytest.fixture
def random_state():
    before = torch.get_rng_state()
    yield
    torch.set_rng_state(before)


@pytest.mark.usefixtures("random_state")
@pytest.mark.parametrize("network", [FLAT, DEEP], ids=["2D", "3D"])
def test_a_model_comes_back_bit_for_bit_and_predicts_the_same(tmp_path, network):
    model = model_of(network)
    write_model(tmp_path / "m.segue", model)
    again = read_model(tmp_path / "m.segue")
    assert again.header == model.header
    before, after = model.network.state_dict(), again.network.state_dict()
    assert list(before) == list(after)
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype
        assert tensor.shape == after[name].shape
        assert torch.equal(tensor, after[name]), name
    assert not again.network.training
    image = torch.randn(1, network.channels, *((20, 44, 44)[-network.spatial_axes :]))
    assert torch.equal(answer_of(model.network, image), answer_of(again.network, image))


@pytest.mark.usefixtures("random_state")
def test_a_model_written_again_has_the_same_bytes(tmp_path):
    write_model(tmp_path / "a.segue", model_of(FLAT))
    write_model(tmp_path / "b.segue", read_model(tmp_path / "a.segue"))
    assert (tmp_path / "a.segue").read_bytes() == (tmp_path / "b.segue").read_bytes()


def test_reading_weights_that_lie_channels_last_makes_no_difference(tmp_path):
    model = model_of(FLAT)
    write_model(tmp_path / "a.segue", model)
    write_model(tmp_path / "b.segue", ModelFile(model.header, model.network.to(memory_format=torch.channels_last)))
    assert (tmp_path / "a.segue").read_bytes() == (tmp_path / "b.segue").read_bytes()


def rewritten(folder, change):
    """A whole file, checksum and all, whose plain header or tensors were changed before it was written."""
    path = folder / "m.segue"
    write_model(path, model_of(FLAT))
    tensors, plain = read_tensors(path)
    change(tensors, plain)
    write_tensors(path, tensors, plain)
    return path


def test_the_kind_of_each_channel_comes_back_with_its_numbers(tmp_path):
    normalization = Normalization(kinds=("fixed", "standard"), mean=(1 / 3,), std=(1e-9,), clip=((-1.0, 2.5),))
    model = model_of(FLAT)
    write_model(tmp_path / "m.segue", ModelFile(header_of(FLAT, normalization=normalization), model.network))
    assert read_model(tmp_path / "m.segue").header.normalization == normalization


def test_a_header_of_before_channels_had_kinds_is_read(tmp_path):
    model = read_model(rewritten(tmp_path, lambda tensors, plain: plain["model"]["normalization"].pop("kinds")))
    assert model.header == header_of(FLAT)


def refuse(path, message):
    with pytest.raises(ModelFileError, match=rf"m\.segue: {message}"):
        read_model(path)


def test_a_header_that_nobody_changed_is_read(tmp_path):
    model = read_model(rewritten(tmp_path, lambda tensors, plain: None))
    assert model.header.format == FORMAT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda model: model.update(format=FORMAT + 1),
            f"format {FORMAT + 1} is newer .* reads up to {FORMAT}; update",
        ),
        (lambda model: model.update(surprise=1), ".*surprise"),
        (lambda model: model["network"].update(attention=True), ".*attention"),
        (lambda model: model["normalization"].update(histogram=True), ".*histogram"),
        (lambda model: model["normalization"].update(kinds=["none", "magic"]), ".*normalization.kinds.1: .*'none'"),
        (
            lambda model: model["normalization"].update(kinds=["fixed", "none"]),
            r".*mean = .* is for 2 .* has 1 \"fixed\"",
        ),
        (lambda model: model.pop("classes"), ".*classes: Field required"),
        (lambda model: model.update(classes=["one"]), ".*classes: .*at least 2"),
        (lambda model: model.update(kind="things"), ".*kind: .*'classes' or 'objects'"),
        (lambda model: model["network"].update(width=0), ".*at least 1"),
        (lambda model: model["network"].update(padding="some"), ".*network.padding"),
        (lambda model: model.update(auxiliary=[]), ".*2 classes and 0 maps .* 4 outputs"),
    ],
)
def test_a_header_that_is_not_understood_in_full_is_refused(tmp_path, change, message):
    refuse(rewritten(tmp_path, lambda tensors, plain: change(plain["model"])), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain.update(content="training state"), "this is the state of a training, not a model"),
        (lambda plain: plain.update(content="something"), "the file holds no model"),
        (lambda plain: plain.pop("content"), "the file holds no model"),
        (lambda plain: plain.update(model=[1]), "the file holds no model"),
    ],
)
def test_what_is_no_model_is_not_taken_for_one(tmp_path, change, message):
    refuse(rewritten(tmp_path, lambda tensors, plain: change(plain)), message)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("head.bias"),
        lambda tensors: tensors.update(extra=np.zeros(3, np.float32)),
        lambda tensors: tensors.update({"head.bias": np.zeros(9, np.float32)}),
        lambda tensors: tensors.clear(),
    ],
    ids=["missing", "extra", "of another shape", "none"],
)
def test_weights_that_do_not_fit_the_architecture_are_refused(tmp_path, change):
    refuse(rewritten(tmp_path, lambda tensors, plain: change(tensors)), "the weights do not fit the architecture")


def test_any_flipped_bit_is_found(tmp_path):
    path = tmp_path / "m.segue"
    write_model(path, model_of(FLAT))
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 60).astype(int):
        data = bytearray(whole)
        data[place] ^= 1 << int(place) % 8
        path.write_bytes(bytes(data))
        with pytest.raises(ModelFileError, match=r"m\.segue: "):
            read_model(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_refused(tmp_path, share):
    path = tmp_path / "m.segue"
    write_model(path, model_of(FLAT))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refuse(path, "")


def test_a_missing_model_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"no\.segue: there is no such file"):
        read_model(tmp_path / "no.segue")


def test_the_header_is_plain_json_that_other_programs_can_read(tmp_path):
    path = tmp_path / "m.segue"
    write_model(path, model_of(FLAT))
    data = path.read_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert json.loads(metadata["segue"])["header"]["model"]["classes"] == ["background", "cell"]
