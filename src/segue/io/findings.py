"""What was noticed about a data set: plain data that the label doctor shows and the program may act on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing noticed about one file, with the reason and the way out."""

    severity: Severity
    """"error" stops a training, "warning" may spoil its result, "note" is only worth knowing."""
    file: str
    """The file or folder it is about."""
    reason: str
    """What was found, one sentence."""
    remedy: str
    """What to do about it, one sentence."""


def listed(findings: Iterable[Finding]) -> str:
    """A line for each, as the rest of a message."""
    return "\n".join(f"  {one.file}: {one.reason}; {one.remedy}" for one in findings)
