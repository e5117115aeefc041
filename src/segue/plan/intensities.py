"""What is done to the intensities, by what the channels are: docs/decisions/0020-normalisation-by-kind.md."""

from collections.abc import Collection, Sequence

from segue.fingerprint import ChannelSummary, Fingerprint
from segue.fingerprint.hounsfield import AnnotatedSummary
from segue.normalize import Normalization, NormalizationKind


def normalization_of(fingerprint: Fingerprint) -> tuple[Normalization, dict[str, str]]:
    """The normalisation of a plan, and the reason for it."""
    scans = _scans(fingerprint)
    others = [number for number in range(fingerprint.channels) if number not in scans]
    if others and (not scans or fingerprint.colour != "gray"):  # red, green and blue are of one kind
        return Normalization(kind="standard"), {"normalization": _why_one_by_one(fingerprint)}
    kinds: tuple[NormalizationKind, ...] = tuple(
        "standard" if number in others else "fixed" for number in range(fingerprint.channels)
    )
    normalization = Normalization(
        kind="standard" if others else "fixed",
        kinds=kinds if others else (),
        mean=tuple(scan.mean for scan in scans.values()),
        std=tuple(scan.std for scan in scans.values()),
        clip=tuple((scan.low, scan.high) for scan in scans.values()),
    )
    ranges = ", ".join(f"{scan.low:.0f} to {scan.high:.0f}" for scan in scans.values())
    why = (
        f"Hounsfield units mean the same in each scan; clipped to {ranges}, where 99 % of what is annotated lies, then "
        "one scale for all images"
    )
    if not others:
        return normalization, {"normalization": f"CT: {why}"}
    rest = "mean 0 and deviation 1 of each image"
    return normalization, {"normalization": f"CT ({_channels(scans)}): {why}; the others ({_channels(others)}): {rest}"}


def _scans(fingerprint: Fingerprint) -> dict[int, AnnotatedSummary | ChannelSummary]:
    """The channels that are CT by their number, but for those that hold nothing to make a scale of."""
    channels: Sequence[AnnotatedSummary | ChannelSummary] = fingerprint.annotated or fingerprint.intensities
    return {
        number: channel
        for number, (is_ct, channel) in enumerate(zip(fingerprint.hounsfield, channels, strict=False))
        if is_ct and channel.low < channel.high and channel.std > 0
    }


def _channels(numbers: Collection[int]) -> str:
    return f"channel{'s' if len(numbers) > 1 else ''} {' and '.join(str(number) for number in numbers)}"


def _why_one_by_one(fingerprint: Fingerprint) -> str:
    if fingerprint.colour != "gray":
        return "colour: mean 0 and deviation 1 of each image, its three channels together, which keeps the hues"
    return "mean 0 and deviation 1 of each image and channel: brightness differs from recording to recording"
