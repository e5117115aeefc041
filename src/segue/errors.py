"""The errors Segue raises for a user's mistake, and the exit code each one becomes.

    SegueError                 1   something could not be done
    +-- UsageError             2   an option or a setting is wrong
    |   +-- TileError          2   a tile or patch size that cannot work
    +-- DataError             65   the data are bad
    |   +-- ImageError        65   one image file
    |   +-- LabelError        65   one mask, or what its values mean
    |   +-- DatasetError      65   a folder of pairs, or its dataset.toml
    |   +-- ModelFileError    65   a .segue file
    +-- MissingInputError     66   an input does not exist
    +-- CannotCreateError     73   an output cannot be created
    +-- StorageError          74   reading or writing failed (a full disk)
    +-- BusyError             75   somebody else is at work here
    +-- TrainingError          1   a training that went wrong (a loss that is not finite)
    |   +-- TrainingInterruptedError 130   the observer asked to stop
    +-- SomeInputsFailedError  3   some inputs were done, others failed

Every message is one sentence or two: the value that was given, what is allowed, and the way out.
"""

import difflib
from collections.abc import Sequence


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The way out for a `name` that does not exist: the nearest of those `known`, or all if none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"known are {', '.join(known)}"


class SegueError(Exception):
    """The root of the tree: everything Segue raises on purpose."""

    exit_code = 1


class UsageError(SegueError):
    """An option, an argument or a setting is wrong."""

    exit_code = 2


class TileError(UsageError):
    """A tile or patch size that the network cannot use."""


class DataError(SegueError):
    """The data are bad: the user has to mend them."""

    exit_code = 65


class ImageError(DataError):
    """One image file cannot be used."""


class LabelError(DataError):
    """One mask cannot be used, or its values do not mean what they should."""


class DatasetError(DataError):
    """A folder of pairs, or its description, cannot be used."""


class ModelFileError(DataError):
    """A model file is damaged, foreign or too new."""


class MissingInputError(SegueError):
    """An input does not exist."""

    exit_code = 66


class CannotCreateError(SegueError):
    """An output cannot be created where it should be."""

    exit_code = 73


class StorageError(SegueError):
    """Reading or writing failed on the way, for example on a full disk."""

    exit_code = 74


class BusyError(SegueError):
    """Another process holds what is needed."""

    exit_code = 75


class TrainingError(SegueError):
    """A training that cannot go on."""


class TrainingInterruptedError(TrainingError):
    """The observer asked to stop; the state was saved if there is a place for it."""

    exit_code = 130


class SomeInputsFailedError(SegueError):
    """Some inputs were done and others failed; the message names those that failed."""

    exit_code = 3
