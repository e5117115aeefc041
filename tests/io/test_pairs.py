"""Which mask belongs to which image is told by their names, and never guessed."""

from pathlib import Path

import pytest

from segue.io.pairs import files_of, match, split_by_ending


def paths(*names):
    return [Path(name) for name in names]


def partners(images, masks):
    pairs, findings = match(paths(*images), paths(*masks))
    return {pair.images[0].name: pair.mask.name for pair in pairs if pair.mask}, [one.reason for one in findings]


@pytest.mark.parametrize(
    "mask", ["Z\u00e4hler.png", "Z\u00e4hler_mask.png", "z\u00e4hler.png", "Za\u0308hler_MASK.png"]
)
@pytest.mark.parametrize("image", ["Z\u00e4hler.tif", "Za\u0308hler.tif"])
def test_names_that_look_the_same_are_the_same_and_stay_as_they_are_on_disk(image, mask):
    assert partners([image], [mask]) == ({image: mask}, [])
    assert match(paths(image), paths(mask))[0][0].name == image.removesuffix(".tif")
    assert split_by_ending(paths(image, "Za\u0308hler_gt.tif", "Z\u00e4hler_gt_mask.tif"))[0] == paths(
        image, "Za\u0308hler_gt.tif"
    )


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.png", "a.tif"),
        ("a.tif", "a_mask.tif"),
        ("i0.tif", "i0_Mask.TIF"),
        ("I0.tif", "i0_gt.png"),
        ("i0.tif", "i0_cp_masks.tif"),
        ("i0_cp.tif", "i0_cp_masks.tif"),
        ("000_img.png", "000_masks.png"),
        ("000_img.png", "000_img_masks.png"),
        ("a_Image.png", "a_label.png"),
        ("img_0.png", "mask_0.png"),
        ("0.png", "mask_0.png"),
        ("train-volume.tif", "train-labels.tif"),
    ],
)
def test_a_mask_is_named_like_its_image_as_common_programs_name_it(image, mask):
    assert partners([image], [mask]) == ({image: mask}, [])


@pytest.mark.parametrize(
    ("image", "mask"),
    [("a1.png", "a10.png"), ("a.png", "a2_mask.png"), ("a_img.png", "b_mask.png"), ("a.png", "ab.png")],
)
def test_other_names_never_pair(image, mask):
    found, reasons = partners([image], [mask])
    assert found == {}
    assert len(reasons) == 2


def test_equal_names_come_before_all_others():
    images, masks = ["a.png", "A.png", "0.png", "0_img.png"], ["A.png", "a_mask.png", "0.png", "mask_0.png"]
    found, reasons = partners(images, masks)
    assert found == {"A.png": "A.png", "a.png": "a_mask.png", "0.png": "0.png", "0_img.png": "mask_0.png"}
    assert reasons == []


def test_a_mask_that_two_images_claim_belongs_to_neither():
    found, reasons = partners(["0_img.png", "image_0.png"], ["0_mask.png"])
    assert found == {}
    assert reasons == [
        "there is no mask with the stem '0_img'",
        "there is no mask with the stem 'image_0'",
        "there is no image with the stem '0_mask'",
    ]


def test_of_two_masks_of_one_image_the_first_is_used_and_both_are_named():
    found, reasons = partners(["a.png"], ["a_seg.png", "a_mask.png"])
    assert found == {"a.png": "a_mask.png"}
    assert reasons == ["2 masks are named like the image 'a': a_mask.png, a_seg.png"]


def test_names_without_a_file_are_missing():
    assert files_of(["a", "b"], paths("a.csv", "c.csv")) == {"a": [Path("a.csv")]}


def test_in_one_folder_masks_are_told_by_their_names_unless_they_have_masks_themselves():
    files = paths("a.png", "a_Mask.png", "b_gt.png", "b_gt_mask.png", "c_img.png", "c_masks.png", "lost_seg.png")
    images, masks = split_by_ending(files)
    assert [path.name for path in images] == ["a.png", "b_gt.png", "c_img.png"]
    assert [path.name for path in masks] == ["a_Mask.png", "b_gt_mask.png", "c_masks.png", "lost_seg.png"]
