"""A trained network as people use it: an image goes in, probabilities, classes or objects come out."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segue.arrays import Image, Labels, Space
from segue.channels import with_channels
from segue.errors import ImageError
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.scratch import Readable, View
from segue.io.staging import bands
from segue.model.device import best_device
from segue.model.file import ModelFile, ModelHeader, read_model, write_model
from segue.model.unet import UNet
from segue.normalize import measure, rescale
from segue.objects.decode import DecodeConfig, decode_objects
from segue.objects.tiled import decode_in_blocks
from segue.predict.infer import PredictConfig, Progress, predict, prepare
from segue.predict.quick import QuickUNet
from segue.resample import resample_values, with_pixel_size

DECODED_AT_ONCE = 2048**2
"""Maps of more pixels are decoded in blocks: the same objects, in less time and a tenth of the memory."""
_COMPARED_AT_ONCE = 1 << 18
"""Pixels whose classes are compared at a time: numpy copies the probabilities, and has 8 bytes for each id."""


@dataclass(frozen=True)
class Answer:
    """What the network says of one image: probabilities of the classes, and auxiliary maps if it has any."""

    probabilities: NDArray[np.float32]
    """(K, [Z,] Y, X), float32, sums to 1 over K."""
    distance: NDArray[np.float32] | None
    """([Z,] Y, X), float32 in [0, 1]: learnt distance to an object's border, if the network has it."""
    space: Space
    """Where the pixels are: that of the image."""
    worked_on: tuple[int, ...] | None = None
    """Shape of the grid that the network worked on, if the image was resampled to its pixel size."""

    @property
    def magnification(self) -> float:
        """How many pixels of the image lie along one pixel of the grid that the network worked on."""
        shape = self.probabilities.shape[1:]
        return magnification(shape, self.worked_on or shape)

    @property
    def foreground(self) -> NDArray[np.float32]:
        """([Z,] Y, X): probability of not being background, which is class 0."""
        foreground: NDArray[np.float32] = np.float32(1) - self.probabilities[0]
        return foreground


class Model:
    """A trained network with all it takes to use it.

    model = segue.load("cells.segue")
    cells = model.objects(segue.read_image("a.tif"))
    """

    def __init__(self, header: ModelHeader, network: UNet) -> None:
        self.header = header
        self._network = network
        self._prepared: dict[str, QuickUNet] = {}

    @classmethod
    def load(cls, path: Path | str) -> "Model":
        """Read a `.segue` file. Raises MissingInputError or ModelFileError."""
        file = read_model(Path(path))
        return cls(file.header, file.network.to(best_device()))

    def save(self, path: Path | str) -> None:
        """Write a `.segue` file, whole or not at all. Raises CannotCreateError or StorageError."""
        write_model(Path(path), ModelFile(self.header, self._network))

    def weights(self) -> dict[str, Tensor]:
        """The network's parameters and running statistics by name; not a copy."""
        return self._network.state_dict()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their ids."""
        return self.header.classes

    @property
    def decoding(self) -> DecodeConfig:
        """How probabilities become objects: tuned on the validation images where there were objects."""
        known = {field.name for field in fields(DecodeConfig)}  # older models name settings that are no more
        return DecodeConfig(**{name: value for name, value in self.header.decoding.items() if name in known})

    @property
    def working(self) -> Space:
        """The pixel size that the network works at; without a size if nobody knows it."""
        return Space(pixel_size=self.header.pixel_size, unit=self.header.unit)

    def prediction(self) -> PredictConfig:
        """How the network is applied unless the caller says otherwise."""
        return PredictConfig(context=self.header.context, mirror=self.header.mirror, precision=self.header.precision)

    def answer(
        self,
        image: Image,
        *,
        config: PredictConfig | None = None,
        progress: Progress | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Answer:
        """Everything the network says of an image.

        Raises ImageError if the image does not fit the network, would have more than `max_pixels` values there, or
        leads it to numbers that are not finite.

        An image that says another pixel size than that of the network is resampled to it as a whole, and what the
        network says is interpolated back: the answer lies on the pixels of the image.
        """
        self.check_axes(image.shape, image.name)
        image = with_channels(image, channels=self.header.network.channels, rgb=self.header.rgb)
        seen = with_pixel_size(image, self.working, max_pixels=max_pixels)
        scaling = measure(seen, self.header.normalization)
        normalized = View(seen.pixels.shape, lambda box: rescale(seen.pixels[box], scaling))
        values = self.apply(normalized, name=image.name, config=config, progress=progress)
        values = resample_values(values, image.shape)
        auxiliary = dict(zip(self.header.auxiliary, values[len(self.classes) :], strict=True))
        return Answer(
            values[: len(self.classes)],
            auxiliary.get("distance"),
            image.space,
            worked_on=None if seen is image else seen.shape,
        )

    def check_axes(self, shape: Sequence[int], name: str) -> None:
        """Raise ImageError if an image with spatial axes of `shape` is no image for this network."""
        axes = self.header.network.spatial_axes
        if len(shape) != axes:
            raise ImageError(
                f"{name or 'the image'}: it has {len(shape)} spatial axes, but the network was trained "
                f"on {axes}D images; " + ("give it a volume" if axes == 3 else "split the volume into its slices")
            )

    def apply(
        self,
        pixels: Readable,
        *,
        name: str = "",
        config: PredictConfig | None = None,
        progress: Progress | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The bare answer of the network for normalised pixels of its own pixel size, as `predict` gives it.

        Raises ImageError, naming the image `name`, if it is not finite.
        """
        config = config or self.prediction()
        if config.precision not in self._prepared:
            self._prepared[config.precision] = prepare(self._network, config)
        answer = predict(
            self._prepared[config.precision],
            pixels,
            classes=len(self.classes),
            config=config,
            progress=progress,
            out=out,
        )
        _check_finite(answer, name)
        return answer

    def probabilities(self, image: Image, *, config: PredictConfig | None = None) -> NDArray[np.float32]:
        """(K, [Z,] Y, X) float32 in [0, 1], sums to 1 over K. Raises ImageError as `answer` does."""
        return self.answer(image, config=config).probabilities

    def labels(self, image: Image, *, config: PredictConfig | None = None) -> Labels:
        """The most probable class of every pixel. Raises ImageError as `answer` does."""
        answer = self.answer(image, config=config)
        return Labels(ids=most_probable(answer), kind="classes", classes=self.classes, space=answer.space)

    def objects(
        self, image: Image, *, config: PredictConfig | None = None, decoding: DecodeConfig | None = None
    ) -> NDArray[np.uint32]:
        """([Z,] Y, X) uint32 object ids, 0 is background. Raises ImageError as `answer` does."""
        return objects_of(self.answer(image, config=config), decoding or self.decoding)

    def with_header(self, **changes: object) -> "Model":
        """The same network with other entries in its header."""
        return Model(self.header.model_copy(update=changes), self._network)


def _check_finite(answer: Readable, name: str) -> None:
    """Raise ImageError if a number of `answer`, (outputs, [Z,] Y, X), is NaN or infinite."""
    for part in bands(answer.shape[1:]):
        if not np.isfinite(answer[(slice(0, answer.shape[0]), *part)]).all():
            raise ImageError(
                f"{name or 'the image'}: what the network says of it is not finite, as if values were far beyond those "
                "it was trained on; look for wild pixels and replace them, for example by the median around them"
            )


def load(path: Path | str) -> Model:
    """Read a `.segue` file. Raises MissingInputError or ModelFileError."""
    return Model.load(path)


def most_probable(answer: Answer) -> NDArray[np.int32]:
    """The id of the most probable class of every pixel, ([Z,] Y, X) int32; the lower id where two are equal."""
    probabilities = answer.probabilities
    ids = np.empty(probabilities.shape[1:], np.int32)
    rows = max(_COMPARED_AT_ONCE // max(prod(ids.shape[1:]), 1), 1)
    for start in range(0, len(ids), rows):
        ids[start : start + rows] = probabilities[:, start : start + rows].argmax(axis=0)
    return ids


def objects_of(answer: Answer, decoding: DecodeConfig) -> NDArray[np.uint32]:
    """The objects in an answer: ([Z,] Y, X) uint32, 0 is background.

    Sizes in `decoding` are those of pixels that the network works at.
    """
    shape = answer.probabilities.shape[1:]
    decoding = at_magnification(decoding, answer.magnification, axes=len(shape))
    if prod(shape) <= DECODED_AT_ONCE:
        return decode_objects(answer.foreground, answer.distance, config=decoding)
    objects = np.zeros(shape, np.uint32)
    foreground = View(shape, lambda block: np.float32(1) - answer.probabilities[0][block])
    decode_in_blocks(foreground, answer.distance, config=decoding, out=objects)
    return objects


def magnification(shape: Sequence[int], worked_on: Sequence[int]) -> float:
    """Pixels of a grid of `shape` along one pixel of a grid of `worked_on` over the same area: the mean of the axes."""
    return float((prod(shape) / prod(worked_on)) ** (1 / len(shape)))


def at_magnification(decoding: DecodeConfig, factor: float, *, axes: int) -> DecodeConfig:
    """`decoding` for maps with `factor` times as many pixels along each of the `axes`."""
    if factor == 1:
        return decoding
    return replace(
        decoding,
        smallest_object=max(1, round(decoding.smallest_object * factor**axes)),
        smoothing=decoding.smoothing * factor,
    )


def with_user_wishes(
    config: PredictConfig, *, tile: int | None, memory: int | None, precision: str | None, mirror: bool | None
) -> PredictConfig:
    """The model's own settings, changed where the user said something. Raises UsageError for values not allowed."""
    wishes = {"tile": tile, "memory": memory, "precision": precision, "mirror": mirror}
    return replace(config, **{name: value for name, value in wishes.items() if value is not None})  # type: ignore[arg-type]
