"""One picture to look at: image, truth, prediction and errors side by side, one row for each case."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Image, LabelKind
from segue.errors import LabelError, UsageError
from segue.fingerprint.planes import middle_plane
from segue.io.files import whole_file
from segue.report.colours import UNKNOWN, Colour
from segue.report.panels import (
    OBJECT_ERROR_ENTRIES,
    Entry,
    Ids,
    Pixels,
    class_entries,
    class_error_entries,
    judge_objects,
    show_class_errors,
    show_classes,
    show_image,
    show_object_errors,
    show_objects,
)

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PAPER = (255, 255, 255)
_INK = (33, 35, 41)
_FAINT = (108, 112, 122)
_GAP = 14
_MARGIN = 28


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a picture."""

    image: Image
    """What was segmented, (C, Y, X) or (C, Z, Y, X)."""
    predicted: NDArray[Any]
    """(Y, X) or (Z, Y, X) class or object ids."""
    truth: NDArray[Any] | None = None
    """Ids of the same shape, IGNORE where unknown; None if nobody knows the truth."""
    caption: str = ""
    """A few words under the image, such as its name."""
    score: str = ""
    """A few words under the prediction, such as its score."""


def picture(
    cases: Sequence[Case],
    *,
    kind: LabelKind,
    classes: tuple[str, ...] = ("background", "foreground"),
    title: str = "",
    panel: int = 400,
) -> Pixels:
    """Draw the cases below each other: image, truth, prediction, errors. (Y, X, 3) uint8, RGB.

    A panel is at most `panel` pixels wide and high; volumes show the slice in the middle of Z. Where no case
    has a truth, the panels of truth and errors are left out.

    Raises UsageError without a case, LabelError if ids do not have the shape of their image.
    """
    if not cases:
        raise UsageError("a picture of 0 cases cannot be drawn; give at least one")
    for case in cases:
        _check(case)
    with_truth = any(case.truth is not None for case in cases)
    rows = [_draw_row(case, kind=kind, panel=panel, with_truth=with_truth) for case in cases]
    headings = ["Image", "Truth", "Prediction", "Errors"] if with_truth else ["Image", "Prediction"]
    legend = [] if kind == "objects" else [("Classes", class_entries(classes))]
    if with_truth:
        errors = class_error_entries(classes) if kind == "classes" else OBJECT_ERROR_ENTRIES
        if any(case.truth is not None and (case.truth == IGNORE).any() for case in cases):
            errors = [*errors, Entry(colour=UNKNOWN, text="not annotated")]
        legend.append(("Errors", errors))
    return _lay_out(rows, headings=headings, legend=legend, title=title, panel=panel)


def save_picture(path: Path, pixels: Pixels) -> None:
    """Write (Y, X, 3) uint8 RGB as a PNG, whole or not at all. Raises as `segue.io.files.whole_file` does."""
    from PIL import Image as PillowImage

    with whole_file(path) as temporary:
        PillowImage.fromarray(pixels).save(temporary, format="PNG", optimize=True)


@dataclass(frozen=True, kw_only=True)
class _Row:
    """The panels of one case, of one size, with a caption for each."""

    panels: list[Pixels]
    captions: list[str]


def _check(case: Case) -> None:
    for name, ids in (("truth", case.truth), ("prediction", case.predicted)):
        if ids is not None and ids.shape != case.image.shape:
            raise LabelError(
                f"{case.image.name or 'an image'} has the shape {case.image.shape} and its {name} "
                f"{ids.shape}; a picture needs them to be equal"
            )


def _draw_row(case: Case, *, kind: LabelKind, panel: int, with_truth: bool) -> _Row:
    size = _fit(case.image.shape[-2:], panel=panel)
    image = show_image(case.image)
    show = show_classes if kind == "classes" else show_objects
    predicted = _slice(case.predicted)
    panels = [_resize(image, size=size), show(_resize_ids(predicted, size=size))]
    captions = [case.caption, case.score]
    if not with_truth:
        return _Row(panels=panels, captions=captions)
    if case.truth is None:
        blank = np.full((*size, 3), 245, np.uint8)
        return _Row(panels=[panels[0], blank, panels[1], blank], captions=[case.caption, "", case.score, ""])
    truth = _slice(case.truth)
    if kind == "classes":
        errors = _resize(show_class_errors(image, truth, predicted), size=size)
        words = _class_error_words(case.truth, case.predicted)
    else:
        verdicts = judge_objects(case.truth, case.predicted)
        small_truth, small_predicted = _resize_ids(truth, size=size), _resize_ids(predicted, size=size)
        errors = show_object_errors(panels[0], small_truth, small_predicted, verdicts)
        words = ", ".join(f"{len(ids)} {name}" for name, ids in vars(verdicts).items() if len(ids) or name == "matched")
    panels = [panels[0], show(_resize_ids(truth, size=size)), panels[1], errors]
    return _Row(panels=panels, captions=[case.caption, _truth_words(case.truth, kind), case.score, words])


def _slice(ids: NDArray[Any]) -> Ids:
    return np.asarray(middle_plane(ids[None])[0])


def _truth_words(truth: NDArray[Any], kind: LabelKind) -> str:
    if kind == "classes":
        return ""
    count = int((np.unique(truth) > 0).sum())
    return f"{count} object" if count == 1 else f"{count} objects"


def _class_error_words(truth: NDArray[Any], predicted: NDArray[Any]) -> str:
    known = truth != IGNORE
    if not known.any():
        return "nothing annotated"
    wrong = (known & (truth != predicted)).sum() / known.sum()
    return f"{100 * wrong:.2g} % of pixels wrong"


def _fit(shape: tuple[int, ...], *, panel: int) -> tuple[int, int]:
    """The largest size of the same proportions within `panel` x `panel`, at least 1 pixel."""
    scale = panel / max(shape)
    return max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)


def _resize(pixels: Pixels, *, size: tuple[int, int]) -> Pixels:
    """Smaller by averaging, larger by repeating pixels, so that every pixel is seen as it is."""
    from PIL import Image as PillowImage

    larger = size[0] >= pixels.shape[0]
    method = PillowImage.Resampling.NEAREST if larger else PillowImage.Resampling.BOX
    return np.array(PillowImage.fromarray(pixels).resize(size[::-1], method))


def _resize_ids(ids: Ids, *, size: tuple[int, int]) -> Ids:
    """The id at the place of each new pixel's centre."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, ids.shape, strict=True))
    return np.asarray(ids[rows[:, None], columns[None]])


def _lay_out(
    rows: list[_Row], *, headings: list[str], legend: list[tuple[str, list[Entry]]], title: str, panel: int
) -> Pixels:
    """Put panels, headings, captions and legend on white paper."""
    from PIL import Image as PillowImage
    from PIL import ImageDraw, ImageFont

    large, middle, small = (ImageFont.load_default(size=panel * part // 400) for part in (24, 18, 15))
    line = panel * 24 // 400
    widths = [max(row.panels[0].shape[1] for row in rows)] * len(headings)
    width = 2 * _MARGIN + sum(widths) + _GAP * (len(widths) - 1)
    lines = _legend_lines(legend, font=small, width=width - 2 * _MARGIN)
    top = _MARGIN + (2 * line if title else 0) + line + _GAP // 2
    height = top + sum(row.panels[0].shape[0] + line + _GAP for row in rows) + line * len(lines) + _MARGIN
    paper = PillowImage.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(paper)
    if title:
        draw.text((_MARGIN, _MARGIN - 4), title, fill=_INK, font=large)
    y = top
    for number, heading in enumerate(headings):
        draw.text((_column(number, widths), y - _GAP // 2), heading, fill=_INK, font=middle, anchor="ld")
    for row in rows:
        for number, (pixels, caption) in enumerate(zip(row.panels, row.captions, strict=True)):
            x = _column(number, widths)
            paper.paste(PillowImage.fromarray(pixels), (x, y))
            words = _shorten(caption, font=small, width=widths[number])
            draw.text((x, y + pixels.shape[0] + 5), words, fill=_FAINT, font=small)
        y += row.panels[0].shape[0] + line + _GAP
    _draw_legend(draw, lines, y=y, font=small, line=line)
    return np.array(paper)


def _column(number: int, widths: list[int]) -> int:
    return _MARGIN + sum(widths[:number]) + _GAP * number


def _shorten(text: str, *, font: "Font", width: int) -> str:
    """Cut the beginning of a text that is too wide; the end of a path tells more."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"...{text}") > width:
        text = text[1:]
    return f"...{text}"


@dataclass(frozen=True, kw_only=True)
class _Word:
    """A word of the legend: its place on the line, and the colour it explains (none for a heading)."""

    x: int
    text: str
    colour: Colour | None


def _legend_lines(legend: list[tuple[str, list[Entry]]], *, font: "Font", width: int) -> list[list[_Word]]:
    """The groups of a legend, each from a new line on, as many words on a line as fit into `width`."""
    lines: list[list[_Word]] = []
    indent = max((int(font.getlength(heading)) for heading, _ in legend), default=0) + 24
    for heading, entries in legend:
        lines.append([_Word(x=0, text=heading, colour=None)])
        x = indent
        for entry in entries:
            step = int(font.getlength(entry.text)) + 46
            if x + step > width and x > indent:
                lines.append([])
                x = indent
            lines[-1].append(_Word(x=x, text=entry.text, colour=entry.colour))
            x += step
    return lines


def _draw_legend(draw: "ImageDraw.ImageDraw", lines: list[list[_Word]], *, y: int, font: "Font", line: int) -> None:
    for number, words in enumerate(lines):
        middle = y + number * line + line // 2
        for word in words:
            left = _MARGIN + word.x
            if word.colour is None:
                draw.text((left, middle), word.text, fill=_FAINT, font=font, anchor="lm")
                continue
            box = (left, middle - 7, left + 14, middle + 7)
            draw.rounded_rectangle(box, radius=3, fill=word.colour, outline=(190, 190, 190))
            draw.text((left + 21, middle), word.text, fill=_INK, font=font, anchor="lm")
