import json
import re

from segue.io.tensors import read_tensors
from segue.model.file import ModelFile, ModelHeader, write_model
from segue.model.unet import UNet, isotropic_config
from segue.normalize import Normalization


def test_the_text_says_what_the_model_is_and_how_well_it_did(world, segue):
    answer = segue("info", world.model)
    assert (answer.code, answer.err) == (0, "")
    facts = {
        line.split("  ")[0].strip(): line.split("  ", 1)[1].strip() for line in answer.out.splitlines() if "  " in line
    }
    weights, _ = read_tensors(world.model)
    learnt = sum(array.size for name, array in weights.items() if "running" not in name and "tracked" not in name)
    assert facts["network"] == f"2D, width 4, 2 poolings, {learnt:,} parameters"
    assert facts["input"] == "1 channel"
    assert facts["intensities"] == "standard"
    assert facts["objects"] == "background, cell"
    assert facts["maps besides"] == "distance"
    assert facts["training"].startswith("20 steps in ")
    assert re.fullmatch(r"processor \(\w+\), \d+ threads?, (bf16|fp32)", facts["trained on"])
    assert "held-out images, with 95 % intervals over images:" in answer.out


def test_the_json_is_the_whole_header(world, segue):
    answer = segue("info", world.model, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out) == read_tensors(world.model)[1]["model"]


def test_where_channels_are_of_several_kinds_the_text_says_the_kind_of_each(segue, tmp_path):
    network = isotropic_config(spatial_axes=2, depth=1, width=2, channels=2, outputs=2)
    header = ModelHeader(
        segue="test",
        network=network,
        kind="classes",
        classes=("background", "tumour"),
        normalization=Normalization(kinds=("fixed", "standard"), mean=(40.0,), std=(300.0,)),
    )
    write_model(tmp_path / "m.segue", ModelFile(header, UNet(network)))
    answer = segue("info", tmp_path / "m.segue")
    assert (answer.code, answer.err) == (0, "")
    (line,) = (line for line in answer.out.splitlines() if line.startswith("intensities"))
    assert line.removeprefix("intensities").strip() == "channel 0 fixed, channel 1 standard"
