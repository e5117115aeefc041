"""A trained network as people use it: an image goes in, probabilities, classes or objects come out."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Labels, Space
from segue.channels import with_channels
from segue.errors import ImageError
from segue.model.file import ModelFile, ModelHeader, read_model, write_model
from segue.model.unet import UNet
from segue.normalize import normalize
from segue.objects.decode import DecodeConfig, decode_objects
from segue.predict.infer import PredictConfig, Progress, predict


@dataclass(frozen=True)
class Answer:
    """What the network says of one image: probabilities of the classes, and auxiliary maps if it has any."""

    probabilities: NDArray[np.float32]
    """(K, [Z,] Y, X), float32, sums to 1 over K."""
    distance: NDArray[np.float32] | None
    """([Z,] Y, X), float32 in [0, 1]: learnt distance to an object's border, if the network has it."""
    space: Space
    """Where the pixels are: that of the image."""

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

    @classmethod
    def load(cls, path: Path | str) -> "Model":
        """Read a `.segue` file. Raises MissingInputError or ModelFileError."""
        file = read_model(Path(path))
        return cls(file.header, file.network)

    def save(self, path: Path | str) -> None:
        """Write a `.segue` file, whole or not at all. Raises CannotCreateError or StorageError."""
        write_model(Path(path), ModelFile(self.header, self._network))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their ids."""
        return self.header.classes

    @property
    def decoding(self) -> DecodeConfig:
        """How probabilities become objects: tuned on the validation images where there were objects."""
        return DecodeConfig(**self.header.decoding)

    def prediction(self) -> PredictConfig:
        """How the network is applied unless the caller says otherwise."""
        return PredictConfig(context=self.header.context, mirror=self.header.mirror, precision=self.header.precision)

    def answer(self, image: Image, *, config: PredictConfig | None = None, progress: Progress | None = None) -> Answer:
        """Everything the network says of an image. Raises ImageError if the image does not fit the network."""
        axes = self.header.network.spatial_axes
        if image.spatial_axes != axes:
            raise ImageError(
                f"{image.name or 'the image'}: it has {image.spatial_axes} spatial axes, but the network was trained "
                f"on {axes}D images; " + ("give it a volume" if axes == 3 else "split the volume into its slices")
            )
        image = with_channels(image, channels=self.header.network.channels, rgb=self.header.rgb)
        values = predict(
            self._network,
            normalize(image, self.header.normalization),
            classes=len(self.classes),
            config=config or self.prediction(),
            progress=progress,
        )
        auxiliary = dict(zip(self.header.auxiliary, values[len(self.classes) :], strict=True))
        return Answer(values[: len(self.classes)], auxiliary.get("distance"), image.space)

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


def load(path: Path | str) -> Model:
    """Read a `.segue` file. Raises MissingInputError or ModelFileError."""
    return Model.load(path)


def most_probable(answer: Answer) -> NDArray[np.int32]:
    """The id of the most probable class of every pixel, ([Z,] Y, X) int32; the lower id where two are equal."""
    ids: NDArray[np.int32] = answer.probabilities.argmax(axis=0).astype(np.int32)
    return ids


def objects_of(answer: Answer, decoding: DecodeConfig) -> NDArray[np.uint32]:
    """The objects in an answer: ([Z,] Y, X) uint32, 0 is background."""
    return decode_objects(answer.foreground, answer.distance, config=decoding)


def with_user_wishes(
    config: PredictConfig, *, tile: int | None, memory: int | None, precision: str | None, mirror: bool | None
) -> PredictConfig:
    """The model's own settings, changed where the user said something. Raises UsageError for values not allowed."""
    wishes = {"tile": tile, "memory": memory, "precision": precision, "mirror": mirror}
    return replace(config, **{name: value for name, value in wishes.items() if value is not None})  # type: ignore[arg-type]
