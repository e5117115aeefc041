"""Bad files, data sets, options and models, given to the command line as people do.

The law of every row: the exit code that says what kind of mistake it was, one message that names the offender and the
way out, no traceback, and not a file or folder on the disk other than before.
"""

import gzip
import hashlib
import os
import pickle
import re
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.cli import run

PLAN = """
precision = "fp32"
mirror = false
validation_fraction = 0.3
[network]
width = 2
widest = 4
factors = [[2, 2], [2, 2]]
kernels = [[3, 3], [3, 3], [3, 3]]
padding = "same"
normalization = "batch"
[normalization]
[targets]
w0 = 0.0
[batches]
patch = [16, 16]
batch = 1
[augment]
[loss]
[train]
validations = 1
"""
"""A plan that trains in no time."""


@dataclass(frozen=True)
class Bad:
    """One way to go wrong."""

    id: str
    make: Callable[[], str]
    """Makes the files in the current folder and gives the command line; its words are parted by blanks."""
    code: int
    says: str
    """The message, a regular expression for the whole of it."""
    stream: str = "stderr"
    """Where the message stands; `segue check` answers on stdout."""


# ---- what the rows are made of -------------------------------------------------------------------------------------


def picture(shape=(24, 24), *, seed=0, dtype=np.uint8):
    """Bright rectangles on a dark ground, with noise, and their mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[(..., slice(4, 12), slice(5 + seed % 3, 14))] = 1
    mask[(..., slice(15, 22), slice(14, 22))] = 1
    return (mask * 120 + rng.integers(20, 60, shape)).astype(dtype), mask


def png(path, values, **options):
    from PIL import Image as Pillow

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(values).save(path, **options)


def tif(path, values, **options):
    import tifffile

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():  # of a future version that takes stacks of three for gray
        warnings.simplefilter("ignore", DeprecationWarning)
        tifffile.imwrite(path, values, **({"photometric": "minisblack"} | options))


def nifti(path, values):
    import nibabel

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0])), str(path))


def data_set(root="data", *, images=4, shape=(24, 24)):
    """Images and masks of the classes 0 and 1 (TIFF; the masks say so in a dataset.toml)."""
    for number in range(images):
        values, mask = picture(shape, seed=number)
        tif(f"{root}/images/a{number}.tif", values)
        tif(f"{root}/masks/a{number}.tif", mask)
    Path(root, "dataset.toml").write_text('labels = "classes"\nvalues = { 0 = 0, 1 = 1 }\n')
    Path("plan.toml").write_text(PLAN)


TRAIN = "train data --out m.segue --steps 2 --quiet --config plan.toml"


def train_on(change=lambda: None, command=TRAIN):
    """A row whose good data set was changed for the worse."""

    def make():
        data_set()
        change()
        return command

    return make


def check_of(change):
    return train_on(change, "check data")


def train_with(options):
    return train_on(command=f"train data --out m.segue --quiet {options}")


def planned(old, new):
    """A training whose plan has `new` instead of `old`."""

    def change():
        assert old in PLAN
        Path("plan.toml").write_text(PLAN.replace(old, new, 1))

    return train_on(change)


def described(text):
    """A training whose dataset.toml is `text`."""
    return train_on(lambda: Path("data/dataset.toml").write_text(text))


def model(path="m.segue", **network):
    """An untrained model for gray 2D images and two classes."""
    from segue.model.file import ModelFile, ModelHeader, write_model
    from segue.model.unet import UNet, isotropic_config
    from segue.normalize import Normalization

    sizes: dict[str, Any] = {
        "spatial_axes": 2,
        "depth": 2,
        "width": 2,
        "widest": 4,
        "padding": "same",
        "normalization": "batch",
    }
    config = isotropic_config(**(sizes | network))
    header = ModelHeader(
        segue="0.1", network=config, kind="classes", classes=("background", "cell"), normalization=Normalization()
    )
    write_model(Path(path), ModelFile(header, UNet(config)))


def predict_file(write, *, options="", name="a.tif", **network):
    """A prediction of one file, which `write(path)` makes."""

    def make():
        model(**network)
        write(name)
        return f"predict m.segue {name} --out out {options}".strip()

    return make


def predict_good(options, **network):
    return predict_file(lambda path: tif(path, picture()[0]), options=options, **network)


def info_of(change, *, command="info m.segue"):
    """A look at a model after `change` was done to its bytes."""

    def make():
        model()
        path = Path("m.segue")
        path.write_bytes(change(path.read_bytes()))
        return command

    return make


def info_header(change):
    """A look at a model whose header was changed and whose checksum is right."""

    def make():
        from segue.io.tensors import read_tensors, write_tensors

        model()
        tensors, header = read_tensors(Path("m.segue"))
        change(header["model"])
        write_tensors(Path("m.segue"), tensors, header)
        return "info m.segue"

    return make


def cut(write, share):
    """Writes a file and cuts it off."""

    def make(path):
        write(path)
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: int(len(data) * share)])

    return make


def flipped(place):
    def change(data):
        at = place(data)
        return data[:at] + bytes([data[at] ^ 0b100]) + data[at + 1 :]

    return change


def with_value(value):
    def write(path):
        values = picture()[0].astype(np.float64 if np.isfinite(value) else np.float32)
        values[3, 7] = value
        tif(path, values)

    return write


def png_bomb(path):
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def tiff_giant(path):
    """A TIFF of 64 pixels whose directory claims 200,000 x 200,000."""
    tif(path, np.zeros((8, 8), np.uint8))
    data = bytearray(Path(path).read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    for entry in range(entries):
        place = first + 2 + 12 * entry
        tag, _, _, _ = struct.unpack_from("<HHII", data, place)
        if tag in (256, 257, 278):  # width, length, rows a strip
            struct.pack_into("<HHII", data, place, tag, 4, 1, 200_000)
    Path(path).write_bytes(bytes(data))


def tiff_circle(path):
    """A TIFF whose directory names itself as the next one."""
    tif(path, np.zeros((8, 8), np.uint8))
    data = bytearray(Path(path).read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    Path(path).write_bytes(bytes(data))


def noise(path):
    Path(path).write_bytes(np.random.default_rng(0).integers(0, 256, 500, np.uint8).tobytes())


def predict_two(options):
    """A prediction of a folder of two good images."""

    def make():
        model()
        for number in range(2):
            tif(f"in/a{number}.tif", picture(seed=number)[0])
        return f"predict m.segue in --out out {options}"

    return make


def torch_zip(path):
    import torch

    torch.save({"weight": torch.zeros(2)}, path)


def plain_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", "1")


def model_file(write, command="predict m.segue a.tif --out out"):
    """A prediction with something else for a model."""

    def make():
        tif("a.tif", picture()[0])
        write("m.segue")
        return command

    return make


def training_state(path):
    from segue.io.tensors import write_tensors

    write_tensors(Path(path), {"network/a": np.zeros(2, np.float32)}, {"content": "training state"})


def evaluation(truth=None, predicted=None, options=""):
    """A score of four good masks against themselves, but for what the two functions change."""

    def make():
        for number in range(4):
            for folder in ("truth", "predicted"):
                tif(f"{folder}/a{number}.tif", picture(seed=number)[1])
        if truth:
            truth()
        if predicted:
            predicted()
        return f"evaluate truth predicted {options}".strip()

    return make


def shell(command, *, before=lambda: None):
    def make():
        before()
        return command

    return make


def remove(path):
    path = Path(path)
    if path.is_dir():
        for one in path.iterdir():
            remove(one)
        path.rmdir()
    else:
        path.unlink()


def folder(path):
    Path(path).mkdir(parents=True)


def file_in_the_way(path="way"):
    Path(path).write_text("a file")


def busy():
    """The run folder is locked by another process (here: by another open file, which is the same to flock)."""
    import fcntl

    Path("m.training").mkdir()
    lock = os.open("m.training/lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    HELD.append(lock)


HELD: list[int] = []


def state_of_another_training():
    """A state whose identity is another one, as other data or other steps give."""
    from segue.io.tensors import write_tensors

    Path("m.training").mkdir()
    header = {"content": "training state", "identity": {"training": "another", "threads": 1}}
    write_tensors(Path("m.training/state.safetensors"), {"network/a": np.zeros(2, np.float32)}, header)


def damaged_state():
    Path("m.training").mkdir()
    Path("m.training/state.safetensors").write_bytes(bytes(200))


# ---- the table -----------------------------------------------------------------------------------------------------

USAGE = r"Usage: segue {command} .*\nTry 'segue {command} --help' for help\.\n\nError: {error}\n"


def usage(command, error):
    return USAGE.format(command=command, error=error)


IMAGES = [
    Bad("truncated TIFF", predict_file(cut(lambda p: tif(p, picture()[0]), 0.9)), 65, r"a\.tif: it is cut off.*"),
    Bad(
        "truncated LZW TIFF",
        predict_file(cut(lambda p: tif(p, picture()[0], compression="lzw"), 0.9)),
        65,
        r"a\.tif: it is cut off.*",
    ),
    Bad(
        "header of a TIFF only",
        predict_file(lambda p: Path(p).write_bytes(b"II*\0\x08\0")),
        65,
        r"a\.tif: it is cut off: 6 bytes.*",
    ),
    Bad(
        "truncated PNG",
        predict_file(cut(lambda p: png(p, picture()[0]), 0.6), name="a.png"),
        65,
        r"a\.png: it is damaged.*save it again",
    ),
    Bad(
        "truncated JPEG",
        predict_file(cut(lambda p: png(p, picture((64, 64))[0]), 0.6), name="a.jpg"),
        65,
        r"a\.jpg: it is damaged.*save it again",
    ),
    Bad(
        "truncated NIfTI",
        predict_file(cut(lambda p: nifti(p, picture((24, 24))[0][..., None]), 0.7), name="a.nii"),
        65,
        r"a\.nii: it is cut off: [0-9,]+ of [0-9,]+ bytes are there",
    ),
    Bad(
        "truncated gzip",
        predict_file(cut(lambda p: nifti(p, picture((24, 24))[0][..., None]), 0.7), name="a.nii.gz"),
        65,
        r"a\.nii\.gz: it is damaged.*save it again",
    ),
    Bad(
        "gzip of something else",
        predict_file(lambda p: Path(p).write_bytes(gzip.compress(bytes(1000))), name="a.nii.gz"),
        65,
        r"a\.nii\.gz: it is a gzip file, but what it holds is not NIfTI; unpack it first",
    ),
    Bad(
        "PNG bomb",
        predict_file(png_bomb, name="a.png"),
        65,
        r"a\.png: it claims 60,000 x 60,000 pixels, .* limit of .*--max-pixels.*",
    ),
    Bad(
        "TIFF that claims 200,000 x 200,000",
        predict_file(tiff_giant),
        65,
        r"a\.tif: it claims 200,000 x 200,000 pixels, .* limit of .*--max-pixels.*",
    ),
    Bad("TIFF in a circle", predict_file(tiff_circle), 65, r"a\.tif: its directories run in a circle.*"),
    Bad(
        "zero bytes", predict_file(lambda p: Path(p).touch()), 65, r"a\.tif: it holds 0 bytes; copy or export it again"
    ),
    Bad(
        "text called .png",
        predict_file(lambda p: Path(p).write_text("not an image"), name="a.png"),
        65,
        r"a\.png: it is not an image that Segue reads: it looks like text; Segue reads PNG, .*",
    ),
    Bad(
        "noise called .tif", predict_file(noise), 65, r"a\.tif: it is not an image that Segue reads.*Segue reads PNG.*"
    ),
    Bad(
        "pickle called .tif",
        predict_file(lambda p: Path(p).write_bytes(pickle.dumps([1, 2]))),
        65,
        r"a\.tif: it is not an image that Segue reads: it looks like a Python pickle.*",
    ),
    Bad(
        "empty folder called a.png",
        predict_file(folder, name="a.png"),
        66,
        r"a\.png: the folder holds no images; looked for .*",
    ),
    Bad("NaN in an image", predict_file(with_value(np.nan)), 65, r"a\.tif: 1 of 576 .* NaN or infinite; replace .*"),
    Bad("infinite value", predict_file(with_value(np.inf)), 65, r"a\.tif: 1 of 576 .* NaN or infinite; replace .*"),
    Bad("too large for float32", predict_file(with_value(1e200)), 65, r"a\.tif: 1 of 576 .* NaN or infinite.*"),
    Bad(
        "complex numbers",
        predict_file(lambda p: tif(p, np.zeros((8, 8), np.complex64))),
        65,
        r"a\.tif: its values are complex numbers; save magnitude or phase as a real image",
    ),
    Bad(
        "a volume for a 2D network",
        predict_file(lambda p: tif(p, picture((4, 24, 24))[0], metadata={"axes": "ZYX"})),
        65,
        r"a\.tif: it has 3 spatial axes, but the network was trained on 2D images; split the volume.*",
    ),
    Bad(
        "an image for a 3D network",
        predict_file(lambda p: tif(p, picture()[0]), spatial_axes=3),
        65,
        r"a\.tif: it has 2 spatial axes, but the network was trained on 3D images; give it a volume",
    ),
    Bad(
        "5 channels for a gray network",
        predict_file(lambda p: tif(p, picture((5, 24, 24))[0], metadata={"axes": "CYX"})),
        65,
        r"a\.tif: 5 channels, but the network was trained on 1; give it images with the same channels.*",
    ),
    Bad(
        "more pixels than allowed",
        predict_good("--max-pixels 100"),
        65,
        r"a\.tif: it claims 24 x 24 pixels, 576 values, more than the limit of 100.*",
    ),
]

INPUTS = [
    Bad(
        "missing input", shell("predict m.segue b.tif --out out", before=model), 66, r"b\.tif: there is no such file.*"
    ),
    Bad("glob without match", shell("predict m.segue x/*.tif --out out", before=model), 66, r"x/\*\.tif: no image .*"),
    Bad(
        "empty folder",
        shell("predict m.segue in --out out", before=lambda: (model(), folder("in"))),
        66,
        r"in: the folder holds no images; looked for \.png, .*",
    ),
    Bad(
        "two inputs with one answer",
        shell(
            "predict m.segue a.tif a.png --out out",
            before=lambda: (model(), tif("a.tif", picture()[0]), png("a.png", picture()[0])),
        ),
        2,
        r"a\.tif and a\.png would both be answered with out/a\.tif; predict them into two folders",
    ),
    Bad(
        "an answer over its input",
        shell("predict m.segue in --out in", before=lambda: (model(), tif("in/a.tif", picture()[0]))),
        2,
        r"in/a\.tif would be overwritten by its own answer; give another folder with --out",
    ),
    Bad("tile of 0", predict_good("--tile 0"), 2, r"a tile has at least 1 px, not 0"),
    Bad(
        "tile smaller than possible",
        predict_two("--tile 8"),
        2,
        r"a tile of 8 px keeps nothing .* use a tile of at least \d+ px",
    ),
    Bad(
        "tile smaller than possible, valid",
        predict_good("--tile 24", padding="valid"),
        2,
        r"a tile of 24 px keeps nothing .* use a tile of at least \d+ px",
    ),
    Bad("nonsense for memory", predict_good("--max-memory lots"), 2, r'"lots" is not a size; write it like 500MB.*'),
    Bad("nothing for memory", predict_good("--max-memory="), 2, r'"" is not a size; write it like 500MB or 2GB'),
    Bad(
        "too little memory", predict_good("--max-memory 1KB"), 2, r"the memory for a tile is at least 1 MB, not 1,000.*"
    ),
    Bad("unknown precision", predict_good("--precision fp8"), 2, r'precision is "auto", "fp32" or "bf16", not "fp8"'),
    Bad("unknown output", predict_good("--as cells"), 2, r'an output is "classes", "prob.*" or "objects", not "cells"'),
    Bad(
        "table of classes",
        predict_good("--table"),
        2,
        r"tables, outlines, overlays and .* are of objects; ask for objects instead of classes \(--as objects\)",
    ),
    Bad("no pixels allowed", predict_good("--max-pixels 0"), 2, r"--max-pixels is at least 1, not 0"),
    Bad("no --out", shell("predict m.segue a.tif"), 2, usage("predict", r"Missing option '--out'\..*")),
    Bad(
        "output folder below a file",
        shell(
            "predict m.segue a.tif --out way/out",
            before=lambda: (model(), tif("a.tif", picture()[0]), file_in_the_way()),
        ),
        73,
        r"way/out: cannot be created \(Not a directory\); choose a place you may write to",
    ),
    Bad(
        "output folder is a file",
        shell(
            "predict m.segue a.tif --out way",
            before=lambda: (model(), tif("a.tif", picture()[0]), file_in_the_way()),
        ),
        73,
        r"way: cannot be created \(File exists\); choose .*",
    ),
    Bad(
        "folder in the way of an answer",
        shell(
            "predict m.segue a.tif --out out",
            before=lambda: (model(), tif("a.tif", picture()[0]), folder("out/a.tif")),
        ),
        73,
        r"out/a\.tif: cannot be created \(Is a directory\); choose .*",
    ),
]

MODELS = [
    Bad("missing model", shell("info m.segue"), 66, r"m\.segue: there is no such file; check the path"),
    Bad("folder for a model", shell("info .", before=model), 65, r"\.: this is not a file; give it a \.segue file"),
    Bad("bit flipped in the length", info_of(flipped(lambda _: 0)), 65, r"m\.segue: .*(damaged|something else).*"),
    Bad("bit flipped in the header", info_of(flipped(lambda _: 300)), 65, r"m\.segue: the file is damaged .*SHA-256.*"),
    Bad(
        "bit flipped in the weights",
        info_of(flipped(lambda d: len(d) // 2 + 999)),
        65,
        r"m\.segue: the file is damaged.*",
    ),
    Bad(
        "bit flipped at the end",
        info_of(flipped(lambda d: len(d) - 1)),
        65,
        r"m\.segue: the file is damaged .*copy it.*",
    ),
    Bad("truncated model", info_of(lambda data: data[: len(data) // 2]), 65, r"m\.segue: the file is damaged.*"),
    Bad("model cut in its header", info_of(lambda data: data[:50]), 65, r"m\.segue: .*give it a \.segue file"),
    Bad("bytes after a model", info_of(lambda data: data + b"x"), 65, r"m\.segue: the file is damaged.*"),
    Bad(
        "empty model", info_of(lambda data: b""), 65, r"m\.segue: the file holds 0 bytes, not a file that Segue wrote.*"
    ),
    Bad(
        "pickle called .segue",
        model_file(lambda p: Path(p).write_bytes(pickle.dumps({"a": 1}))),
        65,
        r"m\.segue: this is a Python pickle, which is never loaded .*give it a \.segue file",
    ),
    Bad(
        "torch file called .segue", model_file(torch_zip), 65, r"m\.segue: this is a zip archive \(perhaps a PyTorch.*"
    ),
    Bad("zip called .segue", model_file(plain_zip), 65, r"m\.segue: this is a zip archive.*never loaded.*"),
    Bad(
        "noise called .segue",
        model_file(noise),
        65,
        r"m\.segue: .* not a file that Segue wrote; give it a \.segue file",
    ),
    Bad(
        "image for a model",
        model_file(lambda p: tif(p, picture()[0])),
        65,
        r"m\.segue: .* not a file that Segue wrote.*",
    ),
    Bad(
        "state of a training for a model",
        model_file(training_state),
        65,
        r"m\.segue: this is the state of a training, not a model; finish it with 'segue train --resume'",
    ),
    Bad(
        "model of a newer format",
        info_header(lambda header: header.update(format=2, colour="blue")),
        65,
        r"m\.segue: format 2 is newer than this Segue, which reads up to 1; update Segue",
    ),
    Bad(
        "unknown key in a header",
        info_header(lambda header: header.update(colour="blue")),
        65,
        r"m\.segue: the header holds colour, which this Segue does not know; update Segue",
    ),
    Bad(
        "header without classes",
        info_header(lambda header: header.pop("classes")),
        65,
        r"m\.segue: the header is not valid at classes: .*",
    ),
    Bad(
        "more classes than outputs",
        info_header(lambda header: header.update(classes=["a", "b", "c"])),
        65,
        r"m\.segue: the header is not valid: .*3 classes.*2 outputs.*",
    ),
    Bad(
        "impossible network in a header",
        info_header(lambda header: header["network"].update(dropout=3.0)),
        65,
        r"m\.segue: the header is not valid.*dropout is a share.*",
    ),
    Bad(
        "weights that do not fit",
        info_header(lambda header: header["network"].update(width=3)),
        65,
        r"m\.segue: the weights do not fit the architecture in the header.*",
    ),
]

DATA_SETS = [
    Bad("missing data set", shell("train data --out m.segue --steps 1"), 66, r"data: there is no such folder.*"),
    Bad(
        "a file for a data set", shell("check f", before=lambda: file_in_the_way("f")), 65, r"f: it is a file; give .*"
    ),
    Bad("empty data set", shell("check data", before=lambda: folder("data")), 65, r"data: .*"),
    Bad(
        "no mask at all",
        train_on(lambda: [remove(one) for one in Path("data/masks").iterdir()]),
        65,
        r"data/masks: the folder holds no image files; put PNG, TIFF, .* in it",
    ),
    Bad(
        "an image is missing",
        check_of(lambda: remove("data/images/a1.tif")),
        65,
        r"(?s).*error: data/masks/a1\.tif: .*image.*",
        "stdout",
    ),
    Bad(
        "mask of another size",
        train_on(lambda: tif("data/masks/a1.tif", picture((24, 20))[1])),
        65,
        r"(?s)data: the data are not fit for training:\n  data/masks/a1\.tif: its shape is 24 x 20.*24 x 24 .*; mend.*",
    ),
    Bad(
        "unknown class value",
        train_on(lambda: tif("data/masks/a1.tif", picture()[1] * 7)),
        65,
        r"(?s)data: .*data/masks/a1\.tif: the mask holds the value 7 \(\d+ px\); allowed are 0 = background, 1 = .*",
    ),
    Bad(
        "NaN in a training image",
        train_on(lambda: with_value(np.nan)("data/images/a1.tif")),
        65,
        r"(?s)data: .*data/images/a1\.tif: some values are NaN or infinite \(1 values\); replace them.*",
    ),
    Bad(
        "infinite value in a training image",
        check_of(lambda: with_value(-np.inf)("data/images/a1.tif")),
        65,
        r"(?s).*error: data/images/a1\.tif: some values are NaN or infinite \(1 values\)\n    replace them.*",
        "stdout",
    ),
    Bad(
        "truncated training image",
        train_on(lambda: cut(lambda p: tif(p, picture()[0]), 0.9)("data/images/a1.tif")),
        65,
        r"(?s)data: .*data/images/a1\.tif: it is cut off.*; mend the file.*",
    ),
    Bad(
        "masks of one class only",
        train_on(lambda: [tif(f"data/masks/a{i}.tif", np.zeros((24, 24), np.uint8)) for i in range(4)]),
        65,
        r"(?s)data: .*no mask of the data set shows anything but one class; check that the masks.*",
    ),
    Bad(
        "2D and 3D mixed",
        train_on(lambda: [tif(f"data/{i}/a1.tif", picture((3, 24, 24))[i == "masks"]) for i in ("images", "masks")]),
        65,
        r"(?s)data: .*data/images/a1\.tif: 2D images and volumes are mixed \(3D\); make two data sets.*",
    ),
    Bad(
        "other channels in one image",
        train_on(lambda: tif("data/images/a1.tif", picture((2, 24, 24))[0], metadata={"axes": "CYX"})),
        65,
        r"(?s)data: .*data/images/a1\.tif: the number of channels .* \(2, not 1\); export all images.*",
    ),
    Bad(
        "syntax error in dataset.toml",
        described("labels = classes"),
        65,
        r"data/dataset\.toml: this is not valid TOML.*",
    ),
    Bad(
        "dataset.toml not UTF-8", train_on(lambda: Path("data/dataset.toml").write_bytes(b"\xff\xfe")), 65, r".*UTF-8.*"
    ),
    Bad(
        "dataset.toml a folder",
        train_on(lambda: (remove("data/dataset.toml"), folder("data/dataset.toml"))),
        65,
        r"data/dataset\.toml.*",
    ),
    Bad(
        "unknown key in dataset.toml",
        described('label = "classes"'),
        65,
        r"data/dataset\.toml: .*\"?label\"?.*labels.*",
    ),
    Bad(
        "bad kind in dataset.toml",
        described('labels = "cells"'),
        65,
        r"data/dataset\.toml: .*labels.*classes.*objects.*",
    ),
    Bad("bad regular expression", described('group = "(a"'), 65, r"data/dataset\.toml: .*group.*"),
    Bad(
        "missing region folder",
        described('region = "fov"'),
        65,
        r"data/dataset\.toml: region = 'fov', but there is no.*",
    ),
    Bad(
        "region outside",
        described('region = "../fov"'),
        65,
        r"data/dataset\.toml: region = '\.\./fov', but there is no.*",
    ),
    Bad(
        "one class only",
        described('classes = ["cell"]'),
        65,
        r"data/dataset\.toml: classes is wrong at \['cell'\]: it must have 2 to 255 names, background first, not 1",
    ),
    Bad("value for no class", described("values = { 0 = 0, 1 = 2 }"), 65, r"data/dataset\.toml: .*"),
    Bad(
        "broken dataset.json",
        train_on(
            lambda: (
                remove("data"),
                [tif(f"data/{f}/a.tif", picture()[0]) for f in ("imagesTr", "labelsTr")],
                Path("data/dataset.json").write_text("{"),
            )
        ),
        65,
        r"data/dataset\.json: this is not valid JSON.*",
    ),
]

TRAININGS = [
    Bad(
        "nonsense for a budget",
        train_with("--budget soon"),
        2,
        r'"soon" is not a time; write it like 90s, 20m or 1h30m',
    ),
    Bad("a budget too short", train_with("--budget 5s"), 2, r"a time of 5 s is not possible; give from 10s to 24h"),
    Bad("a budget too long", train_with("--budget 900h"), 2, r"a time of .* s is not possible; give from 10s to 24h"),
    Bad("a negative budget", train_with("--budget=-20m"), 2, r'"-20m" is not a time; write it like 90s, 20m or 1h30m'),
    Bad("no steps", train_with("--steps 0"), 2, r"a training has at least 1 step, not 0"),
    Bad("steps in words", train_with("--steps many"), 2, usage("train", r".*'--steps'.*")),
    Bad("budget and steps", train_with("--budget 20m --steps 5"), 2, r"give --budget or --steps, not both"),
    Bad("unknown preset", train_with("--steps 1 --preset big"), 2, r'the preset is one of auto, paper, not "big"'),
    Bad("negative seed", train_with("--steps 1 --seed=-1"), 2, r"a seed is a whole number from 0 to .*, not -1"),
    Bad(
        "preset beside a plan", train_on(command=f"{TRAIN} --preset paper"), 2, r"give --preset or --config, not both.*"
    ),
    Bad(
        "held-out images and none",
        train_on(command=f"{TRAIN} --no-validation --val data"),
        2,
        r".*--val.*--no-validation.*",
    ),
    Bad("missing plan", train_with("--steps 1 --config no.toml"), 66, r"no\.toml: there is no such plan"),
    Bad("a folder for a plan", train_with("--steps 1 --config data"), 2, r"data: this cannot be read as a plan.*"),
    Bad("an image for a plan", train_with("--steps 1 --config data/images/a0.tif"), 2, r"data/images/a0\.tif: this .*"),
    Bad("plan that is not TOML", planned("[loss]", "[loss"), 2, r"plan\.toml: this is not valid TOML: .*"),
    Bad(
        "unknown key in a plan", planned("width", "wdith"), 2, r'plan\.toml: "network\.wdith" .*did you mean "width"\?'
    ),
    Bad("wrong type in a plan", planned("batch = 1", 'batch = "one"'), 2, r"plan\.toml: batches\.batch: .*'one'.*"),
    Bad("a number for a table", planned("[loss]", "[other]"), 2, r'plan\.toml: "other" is not a setting; .*'),
    Bad("part of a plan missing", planned("[loss]", ""), 2, r'plan\.toml: "loss" is missing; add it.*'),
    Bad(
        "plan that contradicts itself",
        planned("patch = [16, 16]", "patch = [16, 16, 16]"),
        2,
        r"plan\.toml: the patch \(16, 16, 16\) has 3 axes, the network 2; give one length for each axis",
    ),
    Bad("patch that cannot be pooled", planned("[16, 16]", "[17, 16]"), 2, r"plan\.toml: .*17.*"),
    Bad(
        "plan for other classes",
        planned("width = 2", "width = 2\noutputs = 5"),
        2,
        r"the plan .*5 outputs.* 2 classes.*",
    ),
    Bad("plan for other channels", planned("width = 2", "width = 2\nchannels = 4"), 2, r"the plan .*4 channels.* 1.*"),
    Bad(
        "plan for volumes",
        planned(
            "width = 2\nwidest = 4\nfactors = [[2, 2], [2, 2]]\nkernels = [[3, 3], [3, 3], [3, 3]]",
            "spatial_axes = 3\nwidth = 2\nfactors = [[2, 2, 2]]\nkernels = [[3, 3, 3], [3, 3, 3]]",
        ),
        2,
        r"plan\.toml: the patch .*",
    ),
    Bad(
        "model without its suffix",
        train_on(command="train data --out m.pt --steps 1"),
        2,
        r"the model m\.pt should be called something\.segue; give --out m\.segue",
    ),
    Bad(
        "model that is the folder",
        train_on(command="train data --out . --steps 1"),
        2,
        r"the model \. should be called something\.segue; give --out model\.segue",
    ),
    Bad(
        "model below a file",
        train_on(file_in_the_way, command="train data --out way/m.segue --steps 1"),
        73,
        r"way/m\.training: cannot be created \(Not a directory\); choose .*",
    ),
    Bad(
        "run folder is a file",
        train_on(lambda: file_in_the_way("m.training"), command="train data --out m.segue --steps 1"),
        73,
        r"m\.training: cannot be created \(File exists\); choose .*",
    ),
    Bad(
        "lock is a folder",
        train_on(lambda: folder("m.training/lock")),
        73,
        r"m\.training/lock: cannot be created \(Is a directory\); choose .*",
    ),
    Bad("model is a folder", train_on(lambda: folder("m.segue")), 73, r"m\.segue: .*folder.*"),
    Bad(
        "busy run folder",
        train_on(busy),
        75,
        r"m\.training: another training is at work there; wait for it, or write to another --out",
    ),
    Bad(
        "resume of another training",
        train_on(state_of_another_training, command=f"{TRAIN} --resume"),
        2,
        r"m\.training/state\.safetensors: this training was started with .*resume with the same settings.*",
    ),
    Bad(
        "resume from a damaged state",
        train_on(damaged_state, command=f"{TRAIN} --resume"),
        65,
        r"m\.training/state\.safetensors: neither this state .* start anew without --resume .*",
    ),
    Bad("missing held-out images", train_on(command=f"{TRAIN} --val other"), 66, r"other: there is no such folder.*"),
    Bad(
        "held-out images of another kind",
        train_on(
            lambda: (
                data_set("other"),
                Path("other/dataset.toml").write_text('labels = "objects"'),
            ),
            command=f"{TRAIN} --val other",
        ),
        65,
        r"other: .*objects.*classes.*",
    ),
    Bad(
        "held-out volumes",
        train_on(lambda: data_set("other", shape=(3, 24, 24)), command=f"{TRAIN} --val other"),
        65,
        r"other/images/a0\.tif: .*3.*2.*",
    ),
]

SCORES = [
    Bad("missing truth", shell("evaluate truth predicted"), 66, r"truth: there is no such file or folder"),
    Bad("missing predictions", evaluation(predicted=lambda: remove("predicted")), 66, r"predicted: there is no such.*"),
    Bad(
        "no prediction has a partner",
        evaluation(
            predicted=lambda: [one.rename(one.with_name(f"b{one.name}")) for one in Path("predicted").iterdir()]
        ),
        65,
        r"predicted: no file has the name of one in truth \(for example a0\); predictions are named like their images",
    ),
    Bad(
        "prediction of another size",
        evaluation(predicted=lambda: tif("predicted/a1.tif", picture((24, 20))[1])),
        65,
        r"predicted/a1\.tif: its shape is .*24.*20.*, but that of its truth truth/a1\.tif is .*",
    ),
    Bad("kind that is none", evaluation(options="--as cells"), 2, r'scores are of "classes", .*, not "cells"'),
    Bad(
        "truth of fractions",
        evaluation(truth=lambda: tif("truth/a1.tif", np.full((24, 24), 0.5, np.float32))),
        65,
        r"truth/a1\.tif: 576 pixels of the mask are not whole numbers.*save it as integers",
    ),
    Bad(
        "probabilities for classes",
        evaluation(
            predicted=lambda: tif("predicted/a1.tif", np.full((2, 24, 24), 0.5, np.float32), metadata={"axes": "CYX"}),
            options="--as classes",
        ),
        65,
        r"predicted/a1\.tif: the mask has 2 channels.*",
    ),
    Bad(
        "truncated prediction",
        evaluation(predicted=lambda: cut(lambda p: tif(p, picture()[1]), 0.9)("predicted/a1.tif")),
        65,
        r"predicted/a1\.tif: it is cut off.*",
    ),
    Bad(
        "unknown class in a prediction",
        evaluation(predicted=lambda: tif("predicted/a1.tif", picture()[1] * 9), options="--as classes"),
        65,
        r"predicted/a1\.tif: .*9.*",
    ),
    Bad(
        "scores below a file",
        evaluation(truth=file_in_the_way, options="--json way/scores.json"),
        73,
        r"way: cannot be created.*",
    ),
]

COMMANDS = [
    Bad(
        "unknown command",
        shell("trian data"),
        2,
        r"Usage: segue .*\n.*\n\nError: No such command 'trian'\. Did you mean 'train'\?\n",
    ),
    Bad("unknown option", shell("info m.segue --jason"), 2, usage("info", r"No such option: --jason.*")),
    Bad("no model named", shell("info"), 2, usage("info", r"Missing argument.*")),
    Bad(
        "demo without time", shell("demo --budget never"), 2, r'"never" is not a time; write it like 90s, 20m or 1h30m'
    ),
    Bad(
        "demo below a file",
        shell("demo --out way/demo --budget 10s", before=file_in_the_way),
        73,
        r"(simulating.*\nsegue: )?way/demo: cannot be created \(Not a directory\).*",
    ),
]

LINUX = [
    Bad(
        "output folder where even the owner cannot write",
        shell("predict m.segue a.tif --out /proc/segue/out", before=lambda: (model(), tif("a.tif", picture()[0]))),
        73,
        r"/proc/segue/out: cannot be created \(No such file or directory\); choose a place you may write to",
    ),
    Bad(
        "model where even the owner cannot write",
        train_on(command="train data --out /proc/segue/m.segue --steps 1 --quiet"),
        73,
        r"/proc/segue/m\.training: cannot be created \(No such file or directory\); choose .*",
    ),
]

TABLE = [
    *IMAGES,
    *INPUTS,
    *(LINUX if sys.platform == "linux" else []),
    *MODELS,
    *DATA_SETS,
    *TRAININGS,
    *SCORES,
    *COMMANDS,
]


# ---- the law -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every row has a folder of its own, and is run with one thread."""
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)
    while HELD:
        os.close(HELD.pop())


def snapshot(folder):
    """Every file with its content, and every folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def test_the_table_is_long_and_its_names_are_different():
    assert len(TABLE) >= 60
    assert len({row.id for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=[row.id for row in TABLE])
def test_bad_input_gets_its_exit_code_and_one_sentence_and_leaves_nothing_behind(row, tmp_path, capsys):
    command = row.make().split()
    before = snapshot(tmp_path)
    capsys.readouterr()
    code = run(command)
    out, err = capsys.readouterr()
    assert (code, "Traceback" in err) == (row.code, False), err
    if row.stream == "stdout":
        assert re.fullmatch(row.says, out.strip(), re.DOTALL), out
        assert err == ""
    else:
        messages = re.findall("^(?:segue|Error): ", err, re.MULTILINE)
        assert (out, len(messages)) == ("", 1)
        assert re.fullmatch(row.says, err.removeprefix("segue: ").rstrip("\n") + "\n" * err.startswith("Usage")), err
    assert snapshot(tmp_path) == before
