"""The names of the classes of objects, as tables and outlines take them: one for each of the ids 1..n."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from segue.errors import LabelError

OBJECT = "object"
"""What objects are called if nobody says anything else."""


def class_names(
    values: NDArray[Any] | Sequence[int], object_classes: Sequence[str] | None, *, default: str = OBJECT
) -> list[str]:
    """The class of each of the ids `values`, where `object_classes` are those of the ids 1..n.

    `default` is the class of all if `object_classes` is None. Raises LabelError for an id beyond n.
    """
    if object_classes is None:
        return [default] * len(values)
    highest = max(map(int, values), default=0)
    if highest > len(object_classes):
        raise LabelError(
            f"the classes of {len(object_classes):,} objects are known, but there is an object {highest:,}; "
            "give one name for each id from 1 on"
        )
    return [object_classes[int(value) - 1] for value in values]
