"""Times and sizes as people write them: "20m", "1h30m", "2GB"."""

import re

from segue.errors import UsageError

BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
LARGEST_PIXEL = 1e9
LONGEST = 24 * 3600.0
SHORTEST = 10.0


def parse_duration(text: str | float) -> float:
    """Seconds in "90s", "20m", "1h30m" or a number of seconds, from 10 s to 24 h. Raises UsageError."""
    if isinstance(text, int | float) or re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        seconds = float(text)
    else:
        found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
        if not found or not any(found.groups()):
            raise UsageError(f'"{text}" is not a time; write it like 90s, 20m or 1h30m')
        seconds = sum(float(n or 0) * factor for n, factor in zip(found.groups(), (3600, 60, 1), strict=True))
    if not SHORTEST <= seconds <= LONGEST:
        raise UsageError(f"a time of {seconds:g} s is not possible; give from 10s to 24h")
    return seconds


def format_duration(seconds: float) -> str:
    """About that long, in at most two units: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


def parse_pixel_size(text: str) -> tuple[float, ...]:
    """Micrometres in "0.1" (along every axis) or "2,0.5,0.5" (along z, y and x). Raises UsageError."""
    parts = [part.strip() for part in text.lower().removesuffix("um").replace("x", ",").split(",")]
    known = all(re.fullmatch(r"\d+(\.\d*)?(e-?\d+)?|\.\d+(e-?\d+)?", part) for part in parts)
    sizes = tuple(float(part) for part in parts) if known else ()
    if not 1 <= len(sizes) <= 3 or not all(0 < size < LARGEST_PIXEL for size in sizes):
        raise UsageError(
            f'"{text}" is not a pixel size; write micrometres such as 0.1, or one number for each axis (z, y, x) '
            "such as 2,0.5,0.5"
        )
    return sizes


def parse_size(text: str | int) -> int:
    """Bytes in "500MB", "2GB", "1GiB" or a number of bytes. Raises UsageError."""
    if isinstance(text, int):
        return text
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?)?B?", text.strip().upper())
    if not found:
        raise UsageError(f'"{text}" is not a size; write it like 500MB or 2GB')
    return int(float(found[1]) * BYTES[found[2] or ""])
