"""Colours of classes and errors that people with any kind of colour vision tell apart.

The palette is that of Okabe & Ito, "Color universal design" (2008).
"""

Colour = tuple[int, int, int]

SKY: Colour = (86, 180, 233)
ORANGE: Colour = (230, 159, 0)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
VERMILION: Colour = (213, 94, 0)
PURPLE: Colour = (204, 121, 167)

DARK: Colour = (20, 22, 30)
"""Background of label panels, and class 0."""
LIGHT: Colour = (236, 234, 224)
"""Class 1."""
UNKNOWN: Colour = (110, 112, 120)
"""Pixels that nobody has annotated."""

CLASS_COLOURS: tuple[Colour, ...] = (DARK, LIGHT, GREEN, PURPLE, BLUE, ORANGE, SKY, YELLOW, VERMILION)
"""Classes 0, 1, 2, ..., last the colours of errors; then they repeat without the dark one."""


def class_colour(number: int) -> Colour:
    """The colour of class `number`, 0 or more."""
    if number < len(CLASS_COLOURS):
        return CLASS_COLOURS[number]
    return CLASS_COLOURS[1 + (number - 1) % (len(CLASS_COLOURS) - 1)]
