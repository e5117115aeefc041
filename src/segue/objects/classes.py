"""The class of each object, out of the probabilities of the classes of its pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.objects.census import take_census


@dataclass(frozen=True, kw_only=True)
class ObjectClasses:
    """What the objects 1..n of one image are; arrays are (n,), the first entry is of object 1."""

    ids: NDArray[np.int32]
    """Class id 1..K-1 of each object."""
    confidence: NDArray[np.float64]
    """How clear that is: the share of this class in the probability of all classes but background, 1/(K-1) to 1."""

    def names(self, classes: tuple[str, ...]) -> list[str]:
        """The name of the class of each object; `classes` are those of the model, background first."""
        return [classes[one] for one in self.ids]

    def table(self) -> dict[int, int]:
        """Object id -> class id, as `Labels.object_classes` holds it."""
        return dict(enumerate(self.ids.tolist(), start=1))


def classify_objects(ids: NDArray[Any], probabilities: NDArray[np.float32]) -> ObjectClasses:
    """The class of each object: the one, background aside, with the largest sum of probability over its pixels.

    `ids` is ([Z,] Y, X), consecutive from 1, 0 for background; `probabilities` is (K, [Z,] Y, X), float32 in [0, 1],
    channel 0 the background. The lower class where two sums are equal. Raises UsageError if the shapes differ or
    there is no class but the background.
    """
    if len(probabilities) == 2 and probabilities.shape[1:] == ids.shape:
        count = int(ids.max(initial=0))
        return ObjectClasses(ids=np.ones(count, np.int32), confidence=np.ones(count))
    return classes_of_sums(class_sums(ids, probabilities))


def class_sums(ids: NDArray[Any], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, K - 1) sums over the pixels of objects 1..n of the probability of each class but the background.

    Sums of parts of an image may be added: an image that is decoded part by part has the same classes.
    """
    if probabilities.shape[1:] != ids.shape or len(probabilities) < 2:
        raise UsageError(
            f"the objects have the shape {ids.shape} and the probabilities {probabilities.shape}; they need background "
            "and at least one class, each of the shape of the objects"
        )
    census = take_census(ids, {"classes": probabilities[1:]})
    sums = np.zeros((int(ids.max(initial=0)), len(probabilities) - 1))
    sums[census.ids - 1] = census.sums["classes"]
    return sums


def classes_of_sums(sums: NDArray[np.float64]) -> ObjectClasses:
    """The classes that `class_sums` (n, K - 1) speak for."""
    best = sums.argmax(axis=1)
    total = sums.sum(axis=1)
    largest = sums[np.arange(len(sums)), best]
    # Where all is 0 nothing speaks for any class.
    confidence = np.divide(largest, total, out=np.full(len(sums), 1 / sums.shape[1]), where=total > 0)
    return ObjectClasses(ids=(best + 1).astype(np.int32), confidence=confidence)
