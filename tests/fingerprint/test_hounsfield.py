"""Scans in Hounsfield units are recognised by their range or by their name, and by nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest

from segue.arrays import IGNORE, Image, Labels, Space
from segue.fingerprint.hounsfield import annotated_values, are_hounsfield, summarise_annotated
from segue.fingerprint.measures import measure_image, measure_labels
from segue.fingerprint.summary import Fingerprint, summarise_set


def scans(*, air=-1000.0, tissue=40.0, unit="millimeter", count=3):
    """A body of 4 x 4 pixels in air."""
    pixels = np.full((1, 8, 8), air, np.float32)
    pixels[0, 2:6, 2:6] = tissue
    space = Space(pixel_size=(1.0, 1.0), unit=unit)
    return [measure_image(Image(pixels=pixels + number, space=space)) for number in range(count)]


@pytest.mark.parametrize(
    ("images", "ct"),
    [
        (scans(), True),
        (scans(air=-3024.0, tissue=3071.0), True),  # nothing was measured in the corners, and there is metal
        (scans(unit="micrometer"), False),
        (scans(air=0.0, tissue=900.0), False),  # MRI
        (scans(air=-3.0, tissue=4.0), False),  # normalised before
        (scans(air=-32768.0, tissue=32767.0), False),  # numbers of 16 bit
    ],
)
def test_scans_that_reach_from_air_upwards_in_millimetres_are_ct(images, ct):
    assert are_hounsfield(images, channels=1, unit=images[0].unit) == (ct,)


@pytest.mark.parametrize(
    ("names", "ct"),
    [
        (("CT",), (True,)),
        (("ct ",), (True,)),
        (("MRI",), (False,)),
        (("CT", "PET"), (True, False)),
        (("T1", "CT", "CT"), (False, True, True)),
    ],
)
def test_names_of_channels_count_more_than_their_values(names, ct):
    for images in (scans(), scans(air=20.0)):
        together = [replace(image, channels=image.channels * len(names)) for image in images]
        assert are_hounsfield(together, channels=len(names), unit="millimeter", names=names) == ct


def test_one_name_stands_for_the_three_channels_of_a_colour_image():
    images = [replace(image, channels=image.channels * 3) for image in scans()]
    for name, ct in (("CT", True), ("slide", False)):
        assert are_hounsfield(images, channels=3, unit="millimeter", names=[name]) == (ct,) * 3


def test_without_names_each_channel_is_judged_by_its_own_values():
    pet, wild = scans(air=0.0, tissue=9.0), scans(air=-32768.0, tissue=32767.0)
    images = [
        replace(one, channels=one.channels + two.channels + three.channels)
        for one, two, three in zip(pet, scans(), wild, strict=True)
    ]
    assert are_hounsfield(images, channels=3, unit="millimeter") == (False, True, False)
    assert are_hounsfield(images, channels=3, unit="micrometer") == (False, False, False)
    few = [*images, replace(images[0], channels=images[0].channels[:1])]  # an error of the data, but no other's
    assert are_hounsfield(few, channels=3, unit="millimeter") == (False, True, False)


def test_annotated_values_are_those_of_all_classes_but_the_background():
    pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    ids = np.array([[0, 1, 0, 0], [2, 0, IGNORE, 0], [0, 0, 0, 1]], np.int32)
    assert annotated_values(Image(pixels=pixels), Labels(ids=ids, kind="classes")).tolist() == [
        [1.0, 4.0, 11.0],
        [13.0, 16.0, 23.0],
    ]


def test_of_many_annotated_pixels_some_thousand_from_all_over_the_image_speak():
    pixels = np.arange(90_000, dtype=np.float32).reshape(1, 300, 300)
    values = annotated_values(Image(pixels=pixels), Labels(ids=np.ones((300, 300), np.int32), kind="classes"))
    assert 4096 <= values.size < 2 * 4096
    assert values.min() < 100
    assert values.max() > 89_900


def test_annotated_values_of_all_images_are_summed_up_together():
    images = [np.array([values], np.float32).reshape(1, -1) for values in ([0, 2], [], [4])]
    (found,) = summarise_annotated(images)
    assert (found.mean, found.std) == pytest.approx((2.0, np.std([0, 2, 4])))
    assert 0 <= found.low < found.high <= 4
    assert summarise_annotated(images[1:2]) == ()
    assert summarise_annotated([]) == ()


def test_a_fingerprint_of_ct_survives_json_and_one_of_before_is_of_no_ct():
    ids = np.zeros((8, 8), np.int32)
    ids[3, 3] = 1
    labels = [measure_labels(Labels(ids=ids, kind="classes"))] * 3
    values = [np.array([[40.0, 60.0]], np.float32)] * 3
    found = summarise_set(scans(), labels, kind="classes", classes=("background", "liver"), annotated=values)
    assert found.hounsfield == (True,)
    assert found.annotated[0].mean == 50
    assert Fingerprint.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    before = {name: value for name, value in found.to_dict().items() if name not in ("hounsfield", "annotated")}
    assert not Fingerprint.from_dict(before).hounsfield
