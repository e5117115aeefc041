import pytest

from segue.errors import UsageError
from segue.objects.decode import DecodeConfig
from segue.objects.settings import with_settings

START = DecodeConfig(smallest_dip=0.7, smallest_object=12)


def test_what_is_said_changes_and_everything_else_stays():
    settings = ["foreground_threshold=0.4", "smallest_object = 30", "fill-holes=false"]
    expected = DecodeConfig(smallest_dip=0.7, foreground_threshold=0.4, smallest_object=30, fill_holes=False)
    assert with_settings(START, settings) == expected
    assert with_settings(START, []) == START


def test_of_two_values_for_one_setting_the_last_counts():
    assert with_settings(START, ["smoothing=1", "smoothing=2"]).smoothing == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("smallest_dp=0.5", '"smallest_dp" is not a setting of the decoding; did you mean "smallest_dip"?'),
        ("colour=red", "known are foreground_threshold, smallest_dip, smallest_object"),
        ("", "is not a setting"),
        ("smallest_dip", "gives smallest_dip no value; write smallest_dip="),
        ("smallest_dip=", "gives smallest_dip no value"),
        ("smallest_dip=high", '"high" cannot be the smallest_dip of the decoding; give a number'),
        ("smallest_dip=1.5", "smallest_dip = 1.5 cannot work; give a number from 0 to below 1"),
        ("smallest_dip=nan", "smallest_dip = nan cannot work"),
        ("smallest_object=2.5", '"2.5" cannot be the smallest_object of the decoding; give a whole number'),
        ("smallest_object=0", "smallest_object = 0 is not a size in pixels"),
        ("fill_holes=maybe", "give true or false"),
        ("smoothing=-1", "smoothing = -1.0 cannot work"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_is_allowed(setting, message):
    with pytest.raises(UsageError) as raised:
        with_settings(START, [setting])
    assert message in str(raised.value)
