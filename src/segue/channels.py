"""Give an image the channels that a network was trained on, where there is one right way to do it."""

from dataclasses import replace

import numpy as np

from segue.arrays import Image
from segue.errors import ImageError

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a gray image, ITU-R BT.601, as most image programs use them."""


def with_channels(image: Image, *, channels: int, rgb: bool) -> Image:
    """`image` with `channels` channels, colour if `rgb`.

    A gray image becomes colour by repeating its channel; colour becomes gray by its luminance (a gray image that was
    saved as colour comes back as it was). Raises ImageError for anything else: nobody can guess which channel is which.
    """
    if image.channels == channels and image.is_rgb == rgb:
        return image
    if rgb and image.channels == 1 and channels == 3:
        return replace(image, pixels=image.pixels.repeat(3, axis=0), is_rgb=True)
    if image.channels == channels:
        return replace(image, is_rgb=rgb)  # whether the channels are normalised together
    if channels == 1 and image.is_rgb:
        red, green, blue = image.pixels
        # Pixel by pixel, so that any part of an image becomes what it becomes in the whole.
        luminance = sum(weight * channel for weight, channel in zip(LUMINANCE, image.pixels, strict=True))
        gray = np.where((red == green) & (red == blue), red, luminance)
        return replace(image, pixels=gray[None].astype("float32"), is_rgb=False)
    raise ImageError(
        f"{image.name or 'the image'}: {image.channels} channels, but the network was trained on {channels}; "
        "give it images with the same channels in the same order"
    )
