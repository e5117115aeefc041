"""segue check: what a data set is, and what is wrong with it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from segue.arrays import Space
from segue.cli.console import answer, answer_json, columns, counting
from segue.fingerprint import Examination, Fingerprint, examine
from segue.io.datasets import find_pairs
from segue.resample import shown


def check(
    data: Annotated[Path, typer.Argument(help="A data set: a folder with images/ and masks/, or another layout.")],
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object on stdout.")] = False,
) -> None:
    """Say what a data set is and what is wrong with it. Exit code 65 if it is not fit for training."""
    pairs = find_pairs(data)
    with counting("reading") as progress:
        examination = examine(pairs, progress=progress)
    if json:
        answer_json(_plain(examination, layout=pairs.layout))
    else:
        answer(describe(examination))
    if examination.errors:
        raise typer.Exit(65)


def describe(examination: Examination) -> str:
    """The fingerprint and the findings as text for people."""
    parts = [columns(_facts(examination.fingerprint))] if examination.fingerprint else []
    for finding in examination.findings:
        parts.append(f"{finding.severity}: {finding.file}: {finding.reason}\n    {finding.remedy}".rstrip())
    if not any(finding.severity != "note" for finding in examination.findings):
        parts.append("nothing is wrong with these data")
    return "\n".join(parts)


def _facts(print_: Fingerprint) -> list[tuple[str, str]]:
    def times(shape: tuple[int, ...]) -> str:
        return " x ".join(map(str, shape))

    shapes = times(print_.median_shape)
    if print_.shapes > 1:
        shapes += (
            f" (median of {print_.shapes} shapes, {times(print_.smallest_shape)} to {times(print_.largest_shape)})"
        )
    facts = [
        ("images", f"{print_.images}, {print_.spatial_axes}D, {shapes} px"),
        ("channels", f"{print_.channels}, {print_.colour}" + (f", {print_.bits} bit" if print_.bits else "")),
    ]
    if print_.pixel_size:
        facts.append(("pixel size", _pixel_size(print_, print_.pixel_size)))
    for number, channel in enumerate(print_.intensities):
        name = "intensities" if len(print_.intensities) == 1 else f"channel {number}"
        span = f"{channel.low:.4g} to {channel.high:.4g} (0.5 to 99.5 %)"
        facts.append((name, f"{span}, mean {channel.mean:.4g}, deviation {channel.std:.4g}"))
    if any(print_.hounsfield):
        scans = [str(number) for number, is_ct in enumerate(print_.hounsfield) if is_ct]
        of_which = "" if all(print_.hounsfield) else f" of channel {' and '.join(scans)}"
        facts.append(("CT", f"intensities{of_which} are Hounsfield units, the same in each scan"))
    for name, share in zip(print_.classes, print_.class_frequencies, strict=True):
        facts.append((f"class {name}", f"{100 * share:.3g} % of the pixels"))
    if print_.ignored:
        facts.append(("not annotated", f"{100 * print_.ignored:.3g} % of the pixels"))
    if axes := print_.oriented_axes:
        facts.append(("orientation", f"classes lie on the same side along {axes} in nearly all images"))
    if print_.objects:
        objects = print_.objects
        low, middle, high = objects.per_image
        facts.append(("objects", f"{objects.total:,}; {low} to {high} in an image, median {middle}"))
        if objects.of_class:
            each = zip(print_.classes[1:], objects.of_class[1:], strict=True)
            facts.append(("of class", ", ".join(f"{name} {count:,}" for name, count in each)))
        facts.append(
            (
                "diameters",
                f"{objects.diameter[0]:.3g} to {objects.diameter[4]:.3g} px, median {objects.diameter[2]:.3g}",
            )
        )
        facts.append(("touching", f"{100 * objects.touching:.3g} % of the objects"))
    return facts


def _pixel_size(print_: Fingerprint, size: tuple[float, ...]) -> str:
    middle = shown(Space(pixel_size=size, unit=print_.unit))
    low, high = (
        shown(Space(pixel_size=edge, unit=print_.unit)).removesuffix(f" {print_.unit}")
        for edge in print_.pixel_size_range or (size, size)
    )
    differs = f" (median; {low} to {high})" if low != high else ""
    silent = print_.without_pixel_size
    return middle + differs + (f", {silent} image{'s say' if silent > 1 else ' says'} none" if silent else "")


def _plain(examination: Examination, *, layout: str) -> dict[str, Any]:
    return {
        "layout": layout,
        "fingerprint": examination.fingerprint.to_dict() if examination.fingerprint else None,
        "findings": [
            {"severity": one.severity, "file": one.file, "reason": one.reason, "remedy": one.remedy}
            for one in examination.findings
        ],
        "errors": len(examination.errors),
    }
