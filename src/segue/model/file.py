"""The one file a model is kept in: weights, and a header with everything needed to use them.

The header is plain JSON; unknown keys are kept out, so that a file of a newer Segue is refused with a sentence
instead of being half understood.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segue.arrays import LabelKind
from segue.errors import ModelFileError, SegueError
from segue.io.tensors import read_tensors, write_tensors
from segue.model.unet import UNet, UNetConfig, network_from
from segue.normalize import Normalization

FORMAT = 1
"""Version of the file format. It grows when an older Segue could no longer read the file."""


class ModelHeader(BaseModel):
    """Everything about a model but its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    """Version of the file format."""
    segue: str
    """Version of Segue that wrote the file."""
    network: UNetConfig
    """The architecture."""
    kind: LabelKind
    """Whether it was trained on classes or on objects."""
    classes: tuple[str, ...] = Field(min_length=2)
    """Names of the classes; the first channels of the output, in this order."""
    auxiliary: tuple[str, ...] = ()
    """Names of the maps learnt beside the classes: the further channels of the output."""
    rgb: bool = False
    """Whether the channels are red, green and blue."""
    normalization: Normalization
    """What is done to the intensities of a whole image."""
    pixel_size: tuple[float, ...] | None = None
    """Size of a pixel along each axis that the network works at: images that say another one are resampled. None if
    the training images did not say theirs."""
    unit: str = "pixel"
    """Unit of `pixel_size`."""
    context: int = 16
    """How far the image is mirrored beyond its edges for a "same" network."""
    mirror: bool = False
    """Whether predictions are averaged over mirror images unless the user says otherwise."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Type of the convolutions unless the user says otherwise; "auto" is bf16 where it is faster."""
    decoding: dict[str, Any] = Field(default_factory=dict)
    """Settings of the object decoding, tuned on the validation images."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Provenance: the plan, the data, the history, the scores, the versions."""


@dataclass(frozen=True)
class ModelFile:
    """A network with the header it belongs to."""

    header: ModelHeader
    network: UNet


def write_model(path: Path, model: ModelFile) -> None:
    """Write a model, whole or not at all. Raises CannotCreateError or StorageError."""
    state = model.network.state_dict()
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()}
    write_tensors(path, arrays, {"content": "model", "model": model.header.model_dump(mode="json")})


def read_model(path: Path) -> ModelFile:
    """Read a model after its checksum has been verified.

    Raises MissingInputError if there is no such file, ModelFileError if it is damaged, foreign or too new.
    """
    tensors, plain = read_tensors(path)
    header = _header(plain, path)
    try:
        network = network_from(header.network, {name: torch.from_numpy(array) for name, array in tensors.items()})
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ModelFileError(f"{path}: the weights do not fit the architecture in the header ({reason})") from error
    return ModelFile(header, network)


def _header(plain: dict[str, Any], path: Path) -> ModelHeader:
    if plain.get("content") == "training state":
        raise ModelFileError(
            f"{path}: this is the state of a training, not a model; finish it with 'segue train --resume'"
        )
    fields = plain.get("model")
    if plain.get("content") != "model" or not isinstance(fields, dict):
        raise ModelFileError(f"{path}: the file holds no model; give it a .segue file that 'segue train' wrote")
    version = fields.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise ModelFileError(
            f"{path}: format {version} is newer than this Segue, which reads up to {FORMAT}; update Segue"
        )
    return _checked(_validated(fields, path), path)


def _validated(fields: dict[str, Any], path: Path) -> ModelHeader:
    try:
        return ModelHeader.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ModelFileError(
                f"{path}: the header holds {place}, which this Segue does not know; update Segue"
            ) from error
        raise ModelFileError(f"{path}: the header is not valid at {place or 'its root'}: {first['msg']}") from error
    except SegueError as error:
        raise ModelFileError(f"{path}: the header is not valid: {error}") from error


def _checked(header: ModelHeader, path: Path) -> ModelHeader:
    """`header`, if its parts fit each other."""
    channels = len(header.classes) + len(header.auxiliary)
    if channels != header.network.outputs:
        raise ModelFileError(
            f"{path}: the header is not valid: {len(header.classes)} classes and {len(header.auxiliary)} maps besides "
            f"need {channels} outputs, but the network has {header.network.outputs} outputs"
        )
    return header
