import pytest

from segue.errors import UsageError
from segue.units import format_duration, parse_duration, parse_pixel_size, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("1h30m", 5400),
        ("1h30m15s", 5415),
        ("1.5h", 5400),
        (" 20M ", 1200),
        ("600", 600),
        ("10", 10),
        (12.5, 12.5),
        (86400, 86400),
        ("24h", 86400),
    ],
)
def test_a_time_is_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "soon", "20 minutes", "20x", "m20", "-5m", "1m1h", "1e3", "nan", "20mq"])
def test_what_is_not_a_time_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="is not a time; write it like 90s, 20m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9s", "0", "25h", -60.0, float("nan"), float("inf")])
def test_times_too_short_or_too_long_are_refused(text):
    with pytest.raises(UsageError, match="is not possible; give from 10s to 24h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3599.7, "1 h"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86399, "23 h 59 min"),
    ],
)
def test_a_time_is_written_in_at_most_two_units(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500MB", 500_000_000),
        ("2GB", 2_000_000_000),
        ("2g", 2_000_000_000),
        ("1GiB", 2**30),
        ("1.5 KiB", 1536),
        ("64mib", 64 * 2**20),
        ("12", 12),
        ("12B", 12),
        (7, 7),
    ],
)
def test_a_size_is_read_in_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "2TB", "much", "-1GB", "1,5GB", "2 G B"])
def test_what_is_not_a_size_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="is not a size; write it like 500MB or 2GB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0.1", (0.1,)),
        (".5um", (0.5,)),
        ("2,0.5,0.5", (2.0, 0.5, 0.5)),
        ("2 x 0.5 x 0.5", (2.0, 0.5, 0.5)),
        ("1e-3, 2e-3", (0.001, 0.002)),
    ],
)
def test_a_pixel_size_is_read_in_micrometres(text, size):
    assert parse_pixel_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1,2,3,4", "0.1 mm", "nan", "1e12", "1,,2", "inf"])
def test_what_is_not_a_pixel_size_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"is not a pixel size; write micrometres such as 0\.1"):
        parse_pixel_size(text)
