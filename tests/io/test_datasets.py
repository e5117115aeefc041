import json

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from segue.arrays import IGNORE
from segue.errors import DatasetError, ImageError, LabelError, MissingInputError
from segue.fingerprint import examine
from segue.io.datasets import find_pairs, read_pair, resolve_spec
from segue.io.labels import LabelSpec

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)
MASK = np.array([[0, 255, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]], np.uint8)
BINARY = LabelSpec(kind="classes", values={0: 0, 255: 1})


def put(path, values=GRAY):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, values, photometric="minisblack")
    elif path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    else:
        Pillow.fromarray(values).save(path)
    return path


def own_layout(root, names=("a", "b"), *, toml=None):
    for name in names:
        put(root / "images" / f"{name}.png")
        put(root / "masks" / f"{name}.png", MASK)
    if toml is not None:
        (root / "dataset.toml").write_text(toml)
    return root


def reasons(pairs):
    return sorted(f"{finding.severity}: {finding.reason}" for finding in pairs.findings)


def test_pairs_of_equal_stems_are_found_in_natural_order_whatever_their_suffixes(tmp_path):
    put(tmp_path / "images" / "t10.png")
    put(tmp_path / "images" / "t2.tif")
    put(tmp_path / "images" / "t1.ome.tif")
    put(tmp_path / "masks" / "t10.tif", MASK)
    put(tmp_path / "masks" / "t2.gif", MASK)
    put(tmp_path / "masks" / "t1.png", MASK)
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["t1", "t2", "t10"]
    assert [pair.mask.name for pair in pairs if pair.mask] == ["t1.png", "t2.gif", "t10.tif"]
    assert pairs.findings == ()
    assert pairs.layout == "folders"
    assert pairs.root == tmp_path


def test_a_mask_may_add_an_ending_to_the_stem_of_its_image(tmp_path):
    put(tmp_path / "images" / "a.png")
    put(tmp_path / "masks" / "a_mask.png", MASK)
    assert [pair.name for pair in find_pairs(tmp_path)] == ["a"]


def test_what_stays_alone_or_doubles_is_reported(tmp_path):
    own_layout(tmp_path)
    put(tmp_path / "images" / "only.png")
    put(tmp_path / "masks" / "lost.png", MASK)
    put(tmp_path / "images" / "a.tif")
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert reasons(pairs) == [
        "error: 2 images have the stem 'a': a.png, a.tif",
        "error: there is no image with the stem 'lost'",
        "warning: there is no mask with the stem 'only'",
    ]


def test_a_slice_and_a_subset_know_their_data_set(tmp_path):
    pairs = find_pairs(own_layout(tmp_path, "abcd"))
    assert [pair.name for pair in pairs[1:3]] == ["b", "c"]
    assert [pair.name for pair in pairs.subset([3, 0])] == ["d", "a"]
    assert pairs[1:3].root == pairs.root
    assert len(pairs) == 4


def test_groups_come_from_the_expression_and_else_each_pair_is_its_own(tmp_path):
    own_layout(tmp_path, ("x_t1", "x_t2", "y"), toml=r"group = '(.+)_t\d+'")
    assert [pair.group for pair in find_pairs(tmp_path)] == ["x", "x", "y"]


@pytest.mark.parametrize("written", ["ä", "a\u0308"])
def test_letters_that_look_the_same_are_the_same_in_names_of_images_and_in_their_description(tmp_path, written):
    toml = f"group = '(.*{written}).'\n[pixel_sizes]\n'{written}*' = [0.5, 0.25]\n"
    own_layout(tmp_path, ("ä1", "a\u03082")).joinpath("dataset.toml").write_text(toml, "utf-8")
    pairs = find_pairs(tmp_path)
    assert {pair.name for pair in pairs} == {"ä1", "a\u03082"}
    assert [(pair.group, pair.pixel_size) for pair in pairs] == [("ä", (0.5, 0.25))] * 2
    assert reasons(pairs) == []


def test_a_pair_reads_as_image_and_labels_of_one_shape(tmp_path):
    image, labels = read_pair(find_pairs(own_layout(tmp_path))[0], BINARY)
    assert np.array_equal(image.pixels, GRAY[np.newaxis])
    assert np.array_equal(labels.ids, MASK // 255)
    assert labels.name.endswith("a.png")


def test_a_group_that_does_not_fit_all_names_is_a_warning_that_counts_those_it_fits(tmp_path):
    own_layout(tmp_path, ("x_t1", "x_t2", "y"), toml=r"group = '(.+)_t\d+'")
    (warning,) = find_pairs(tmp_path).findings
    assert warning.severity == "warning"
    assert "fits only 2 of 3 names, and not 'y'; an image that it does not fit is a group of its own" in warning.reason
    own_layout(tmp_path, ("x_t1", "x_t2", "y"), toml=r"group = '(.+)_T\d+'")
    (warning,) = find_pairs(tmp_path).findings
    assert "fits none of the 3 names, such as 'x_t1'" in warning.reason
    own_layout(tmp_path, ("x_t1", "x_t2", "y"), toml=r"group = '^(.)'")
    assert find_pairs(tmp_path).findings == ()


def test_outside_of_the_region_everything_is_ignored(tmp_path):
    own_layout(tmp_path, ("a",), toml='region = "fov"')
    inside = np.zeros_like(MASK)
    inside[:, :2] = 255
    put(tmp_path / "fov" / "a.png", inside)
    _, labels = read_pair(find_pairs(tmp_path)[0], BINARY)
    assert (labels.ids[:, 2:] == IGNORE).all()
    assert np.array_equal(labels.ids[:, :2], MASK[:, :2] // 255)


def test_a_region_that_is_not_there_is_an_error(tmp_path):
    own_layout(tmp_path, ("a",), toml='region = "fov"')
    with pytest.raises(DatasetError, match="region = 'fov', but there is no such folder"):
        find_pairs(tmp_path)
    (tmp_path / "fov").mkdir()
    assert reasons(find_pairs(tmp_path)) == ["error: fov/ has no region with the stem 'a'"]


def test_a_region_may_be_named_as_a_mask_is_but_only_one_for_an_image(tmp_path):
    own_layout(tmp_path, ("a",), toml='region = "fov"')
    region = put(tmp_path / "fov" / "a_mask.png", MASK)
    pairs = find_pairs(tmp_path)
    assert (pairs[0].region, pairs.findings) == (region, ())
    put(tmp_path / "fov" / "a_seg.png", MASK)
    with pytest.raises(DatasetError, match=r"fov: a_mask\.png and a_seg\.png are both for one image"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("name", ["../other", "{}/other", "images/../../other"])
def test_a_region_outside_of_the_data_set_is_refused(tmp_path, name):
    own_layout(tmp_path / "set", ("a",), toml=f"region = '{name.format(tmp_path)}'")
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match="no such folder"):
        find_pairs(tmp_path / "set")


def test_a_region_may_be_a_link_to_a_folder_elsewhere(tmp_path):
    own_layout(tmp_path / "set", ("a",), toml='region = "fov"')
    region = put(tmp_path / "other" / "a.png", MASK)
    (tmp_path / "set" / "fov").symlink_to(region.parent)
    assert find_pairs(tmp_path / "set")[0].region == tmp_path / "set" / "fov" / "a.png"


def test_the_pixel_size_of_the_description_overrides_the_file(tmp_path):
    own_layout(tmp_path, ("a",), toml="pixel_size = [0.5, 0.25]")
    image, labels = read_pair(find_pairs(tmp_path)[0], BINARY)
    assert image.space.pixel_size == (0.5, 0.25)
    assert image.space.unit == "micrometer"
    assert labels.space == image.space


def test_a_pixel_size_for_other_axes_is_an_error(tmp_path):
    own_layout(tmp_path, ("a",), toml="pixel_size = [1, 0.5, 0.25]")
    with pytest.raises(ImageError, match=r"2 axes in space, .* 3 pixel sizes; .* \(pixel_size in dataset\.toml"):
        read_pair(find_pairs(tmp_path)[0], BINARY)


@pytest.mark.parametrize(("mask", "message"), [(MASK.T, "turned"), (MASK[:2], r"2 x 4 \(y x\).*3 x 4")])
def test_a_mask_of_another_shape_is_an_error_that_names_both_files(tmp_path, mask, message):
    put(tmp_path / "images" / "a.png")
    put(tmp_path / "masks" / "a.png", np.ascontiguousarray(mask))
    with pytest.raises(LabelError, match=message) as caught:
        read_pair(find_pairs(tmp_path)[0], BINARY)
    assert "masks" in str(caught.value)
    assert "images" in str(caught.value)


def put_at(path, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), affine), path)


def test_a_mask_or_region_that_says_it_lies_elsewhere_than_its_image_is_an_error(tmp_path):
    turned = np.diag([-1.0, -1, 2, 1])
    put_at(tmp_path / "images" / "a.nii", turned)
    put_at(tmp_path / "masks" / "a.nii", turned)
    put_at(tmp_path / "fov" / "a.nii", np.eye(4))
    assert read_pair(find_pairs(tmp_path)[0], BINARY)[1].shape == (5, 4, 3)
    (tmp_path / "dataset.toml").write_text('region = "fov"')
    with pytest.raises(
        LabelError, match=r"fov/a\.nii: mask and image .* say they lie differently in space: RAS .* LPS"
    ):
        read_pair(find_pairs(tmp_path)[0], BINARY)
    put_at(tmp_path / "masks" / "a.nii", np.eye(4))
    with pytest.raises(LabelError, match=r"masks/a\.nii: mask and image .* say they lie differently in space"):
        read_pair(find_pairs(tmp_path)[0], BINARY)


def test_channels_that_say_they_lie_differently_are_an_error(tmp_path):
    nunet = nnunet(tmp_path, {"background": 0, "a": 1, "b": 2}, channels=2)
    pairs = find_pairs(nunet)
    assert read_pair(pairs[0], resolve_spec(pairs).spec)[0].channels == 2
    values = np.zeros((2, 3, 4), np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1, -1, 1, 1])), nunet / "imagesTr" / "c_2_0001.nii.gz")
    with pytest.raises(ImageError, match=r"c_2_0001\.nii\.gz: this channel and the first.* lie differently in space"):
        read_pair(pairs[0], resolve_spec(pairs).spec)


def test_without_a_description_the_masks_say_what_they_mean(tmp_path):
    pairs = find_pairs(own_layout(tmp_path))
    decision = resolve_spec(pairs)
    assert decision.spec.values == {0: 0, 255: 1}
    assert "0 = background, 255 = foreground" in decision.sentence


def test_a_description_with_values_is_taken_at_its_word(tmp_path):
    toml = 'classes = ["cell", "membrane"]\nvalues = { 255 = 0, 0 = 1 }'
    decision = resolve_spec(find_pairs(own_layout(tmp_path, toml=toml)))
    assert decision.spec.classes == ("cell", "membrane")
    assert decision.spec.values == {255: 0, 0: 1}
    assert decision.sentence == "The masks hold classes, as dataset.toml says."


def test_a_description_without_values_is_completed_from_the_masks(tmp_path):
    decision = resolve_spec(find_pairs(own_layout(tmp_path, toml='classes = ["outside", "cell"]')))
    assert decision.spec.classes == ("outside", "cell")
    assert decision.spec.values == {0: 0, 255: 1}


def test_objects_are_taken_at_their_word_too_and_a_late_coloured_mask_is_named(tmp_path):
    pairs = find_pairs(own_layout(tmp_path, "abcdefghijklmnop", toml='labels = "objects"'))
    put(tmp_path / "masks" / "p.png", np.stack([MASK, MASK, MASK * 0], axis=-1))
    spec = resolve_spec(pairs).spec
    assert spec.kind == "objects"
    assert set(np.unique(read_pair(pairs[0], spec)[1].ids)) == {0, 255}
    with pytest.raises(LabelError, match=r"p\.png: the mask is coloured"):
        read_pair(pairs[15], spec)


def test_classes_that_do_not_fit_the_masks_are_an_error_that_names_the_folder(tmp_path):
    pairs = find_pairs(own_layout(tmp_path, toml='classes = ["a", "b", "c"]'))
    with pytest.raises(LabelError, match=f"{tmp_path}: the masks hold 2 values"):
        resolve_spec(pairs)


def test_one_folder_with_mask_endings_is_read(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / f"{name}.png")
        put(tmp_path / f"{name}_masks.tif", MASK)
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs.layout == "endings"


def test_cellpose_data_are_read_under_the_names_of_their_images(tmp_path):
    for name in ("000", "001"):
        put(tmp_path / f"{name}_img.png")
        put(tmp_path / f"{name}_masks.png", MASK)
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["000_img", "001_img"]  # as predictions are named
    assert pairs.findings == ()


@pytest.mark.parametrize(("images", "masks"), [("Images", "Masks"), ("image", "mask"), ("IMAGES", "Label")])
def test_the_folders_of_images_and_masks_may_be_named_in_any_case_and_number(tmp_path, images, masks):
    put(tmp_path / images / "a.png")
    put(tmp_path / masks / "a.png", MASK)
    assert [pair.name for pair in find_pairs(tmp_path)] == ["a"]


def test_a_second_folder_of_masks_is_said_to_be_ignored_unless_the_description_names_it(tmp_path):
    own_layout(tmp_path, ("a",))
    put(tmp_path / "labels" / "a.png", MASK)
    pairs = find_pairs(tmp_path)
    assert pairs[0].mask == tmp_path / "masks" / "a.png"
    assert reasons(pairs) == ["note: this folder is ignored, because the masks are taken from masks/"]
    assert pairs.findings[0].file == str(tmp_path / "labels")
    (tmp_path / "dataset.toml").write_text('region = "labels/"')
    assert find_pairs(tmp_path).findings == ()


def one_object(row):
    mask = np.zeros_like(MASK)
    mask[row] = 255
    return mask


def test_masks_may_lie_in_a_folder_for_each_image_one_file_an_object(tmp_path):
    for name in ("a.1", "b"):
        put(tmp_path / "images" / f"{name}.png")
        for row in range(2):
            put(tmp_path / "masks" / name / f"{row}.png", one_object(row))
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["a.1", "b"]
    assert pairs.findings == ()
    assert read_pair(pairs[0], resolve_spec(pairs).spec)[1].ids.tolist() == [[1] * 4, [2] * 4, [0] * 4]


def nnunet(root, labels, *, channels=1, suffix=".nii.gz", **more):
    volume = np.arange(24).reshape(2, 3, 4).astype(np.int16)
    for case in ("c_2", "c_10"):
        for channel in range(channels):
            put(root / "imagesTr" / f"{case}_{channel:04d}{suffix}", volume + channel)
        put(root / "labelsTr" / f"{case}{suffix}", (volume % 3).astype(np.uint8))
    content = {
        "channel_names": {str(n): f"c{n}" for n in range(channels)},
        "labels": labels,
        "file_ending": suffix,
    }
    (root / "dataset.json").write_text(json.dumps(content | more))
    return root


def test_nnunet_channels_are_joined_and_its_labels_are_the_classes(tmp_path):
    pairs = find_pairs(nnunet(tmp_path, {"background": 0, "rim": 1, "ignore": 2}, channels=2))
    assert [pair.name for pair in pairs] == ["c_2", "c_10"]
    assert pairs.layout == "nnU-Net"
    decision = resolve_spec(pairs)
    assert decision.spec.classes == ("background", "rim")
    assert decision.spec.ignore == {2}
    image, labels = read_pair(pairs[0], decision.spec)
    volume = np.arange(24).reshape(2, 3, 4).transpose(2, 1, 0)
    assert np.array_equal(image.pixels, [volume, volume + 1])
    assert np.array_equal(labels.ids, np.where(volume % 3 == 2, IGNORE, volume % 3))
    assert labels.space.affine is not None


def test_the_spacing_beside_the_tiffs_of_an_nnunet_case_is_its_pixel_size_in_micrometres(tmp_path):
    root = nnunet(tmp_path, {"background": 0, "a": 1, "b": 2}, channels=2, suffix=".tif")
    (root / "imagesTr" / "c_2.json").write_text('{"spacing": [5, 0.5, 0.25]}')
    (root / "imagesTr" / "c_10.json").write_text('{"spacing": [1.0, 1.0, 1.0]}')  # nnU-Net's word for unknown
    pairs = find_pairs(root)
    assert [pair.pixel_size for pair in pairs] == [(5.0, 0.5, 0.25), None]
    image, labels = read_pair(pairs[0], resolve_spec(pairs).spec)
    assert (image.space.pixel_size, image.space.unit) == ((5.0, 0.5, 0.25), "micrometer")
    assert labels.space == image.space
    (root / "dataset.toml").write_text("[pixel_sizes]\n'c_2' = [4, 1, 1]\n")
    assert find_pairs(root)[0].pixel_size == (4.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"spacing": [1, 0.5]}', r'"spacing" is \[1, 0\.5\]; it must be three positive numbers'),
        ('{"spacing": [1, 0.5, 0]}', "three positive numbers"),
        ('{"spacing": [1, 0.5, "a"]}', "three positive numbers"),
        ('{"spacing": [1, 0.5, Infinity]}', "three positive numbers"),
        ('{"spacing": 2}', '"spacing" is 2;'),
        ("{}", '"spacing" is null;'),
        ("[5, 0.5, 0.25]", "one JSON object"),
        ("{", "not valid JSON"),
    ],
)
def test_a_spacing_that_cannot_be_read_names_its_file(tmp_path, content, message):
    root = nnunet(tmp_path, {"background": 0, "a": 1, "b": 2}, suffix=".tif")
    (root / "imagesTr" / "c_2.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"imagesTr/c_2\.json: .*{message}"):
        find_pairs(root)


def test_a_spacing_beside_nifti_says_nothing(tmp_path):
    root = nnunet(tmp_path, {"background": 0, "a": 1, "b": 2})
    (root / "imagesTr" / "c_2.json").write_text('{"spacing": [5, 0.5, 0.25]}')
    assert find_pairs(root)[0].pixel_size is None


def test_a_missing_channel_leaves_the_case_out_and_a_lone_image_is_reported(tmp_path):
    nnunet(tmp_path, {"background": 0, "a": 1, "b": 2}, channels=2)
    (tmp_path / "imagesTr" / "c_2_0001.nii.gz").unlink()
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["c_10"]
    assert reasons(pairs) == [
        "error: imagesTr/ lacks c_2_0001.nii.gz",
        "warning: it belongs to no mask in labelsTr/; it is left out",
    ]


def test_the_older_form_of_the_medical_decathlon_is_read(tmp_path):
    nnunet(tmp_path, {"0": "background", "1": "a", "2": "b"}, channel_names={"0": "MRI"})
    json_file = tmp_path / "dataset.json"
    json_file.write_text(json_file.read_text().replace("channel_names", "modality"))
    for path in (tmp_path / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["c_2", "c_10"]
    assert resolve_spec(pairs).spec.classes == ("background", "a", "b")
    assert pairs.description.channels == ("MRI",)


def test_channels_have_the_names_of_dataset_json_in_the_order_of_their_numbers(tmp_path):
    names = {str(number): f"c{number}" for number in reversed(range(11))}
    root = nnunet(tmp_path, {"background": 0, "a": 1, "b": 2}, channels=11, channel_names=names)
    assert find_pairs(root).description.channels == tuple(f"c{number}" for number in range(11))
    (root / "dataset.toml").write_text('channels = ["CT"]')
    assert find_pairs(root).description.channels == ("CT",)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_an_nnunet_case_of_three_channels_may_be_one_colour_image(tmp_path, suffix):
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    (tmp_path / "imagesTr").mkdir()
    Pillow.fromarray(colours).save(tmp_path / "imagesTr" / f"a_0000{suffix}")
    put(tmp_path / "labelsTr" / f"a{suffix}", (colours[..., 0] > 9).astype(np.uint8))
    channels = {"0": "R", "1": "G", "2": "B"}
    content = {"channel_names": channels, "labels": {"background": 0, "road": 1}, "file_ending": suffix}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    pairs = find_pairs(tmp_path)
    assert reasons(pairs) == []
    image, _ = read_pair(pairs[0], resolve_spec(pairs).spec)
    assert image.is_rgb
    assert np.array_equal(image.pixels, np.moveaxis(colours, -1, 0))


@pytest.mark.parametrize(("suffix", "channels", "there"), [(".nii.gz", 3, 1), (".tif", 2, 1), (".tif", 3, 2)])
def test_a_missing_channel_is_no_colour_image_in_nifti_nor_beside_another_channel(tmp_path, suffix, channels, there):
    names = [f"a_{number:04d}{suffix}" for number in range(channels)]
    for name in names[:there]:
        put(tmp_path / "imagesTr" / name, np.zeros((3, 4, 5), np.uint8))
    put(tmp_path / "labelsTr" / f"a{suffix}", np.zeros((3, 4, 5), np.uint8))
    content = {"channel_names": dict(enumerate("abc"[:channels])), "labels": {"background": 0, "road": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=f"imagesTr/ lacks {', '.join(names[there:])}"):
        find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "whole": [1, 2]}, "'whole' is a region of several values"),
        ({"background": 0, "a": 2}, "values 0, 2; nnU-Net wants"),
        ({}, '"labels" is missing'),
    ],
)
def test_nnunet_labels_that_cannot_be_used_are_explained(tmp_path, labels, message):
    with pytest.raises(DatasetError, match=message):
        find_pairs(nnunet(tmp_path, labels))


def test_nnunet_without_dataset_json_is_read_if_no_name_has_a_channel_and_else_says_what_is_missing(tmp_path):
    nnunet(tmp_path, {"background": 0, "a": 1})
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(DatasetError, match=r"dataset\.json is missing, which says how many channels"):
        find_pairs(tmp_path)
    for path in (tmp_path / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["c_2", "c_10"]
    assert resolve_spec(pairs).spec.values == {0: 0, 1: 1, 2: 2}
    (tmp_path / "labelsTr").rename(tmp_path / "other")
    with pytest.raises(DatasetError, match="there is imagesTr/ but no labelsTr/"):
        find_pairs(tmp_path)


def test_a_byte_order_mark_before_dataset_json_is_no_mistake(tmp_path):
    nnunet(tmp_path, {"background": 0, "a": 1, "b": 2})
    text = (tmp_path / "dataset.json").read_text("utf-8")
    (tmp_path / "dataset.json").write_text(text, "utf-8-sig")
    assert find_pairs(tmp_path).description.classes == ("background", "a", "b")


def test_a_damaged_dataset_json_is_explained(tmp_path):
    nnunet(tmp_path, {"background": 0, "a": 1})
    (tmp_path / "dataset.json").write_text('{"labels": ')
    with pytest.raises(DatasetError, match=r"dataset\.json: this is not valid JSON: .*line 1"):
        find_pairs(tmp_path)
    (tmp_path / "dataset.json").write_text("[1]")
    with pytest.raises(DatasetError, match="one JSON object"):
        find_pairs(tmp_path)


def tracking(root, sequences=("01",), frames=3, annotated=(0, 2)):
    for sequence in sequences:
        for number in range(frames):
            put(root / sequence / f"t{number:03d}.tif")
        for number in annotated:
            put(
                root / f"{sequence}_GT" / "SEG" / f"man_seg{number:03d}.tif",
                (MASK // 255 * 7).astype(np.uint16),
            )
    return root


def test_the_cell_tracking_challenge_gives_its_annotated_frames_as_objects(tmp_path):
    pairs = find_pairs(tracking(tmp_path, ("01", "02")))
    assert [pair.name for pair in pairs] == ["01_t000", "01_t002", "02_t000", "02_t002"]
    assert [pair.group for pair in pairs] == ["01", "01", "02", "02"]
    decision = resolve_spec(pairs)
    assert decision.spec.kind == "objects"
    _, labels = read_pair(pairs[0], decision.spec)
    assert np.array_equal(labels.ids, MASK // 255 * 7)
    assert "note: 1 of its 3 frames have no complete reference; it is left out" in reasons(pairs)


def test_a_single_sequence_can_still_be_split_and_says_what_that_means(tmp_path):
    pairs = find_pairs(tracking(tmp_path))
    assert [pair.group for pair in pairs] == ["01_t000", "01_t002"]
    note = "note: there is only one sequence, so a split puts neighbouring frames on both sides"
    assert note in reasons(pairs)


def test_annotated_single_slices_and_masks_without_a_frame_are_reported(tmp_path):
    tracking(tmp_path)
    put(tmp_path / "01_GT" / "SEG" / "man_seg_001_005.tif", MASK)
    put(tmp_path / "01_GT" / "SEG" / "man_seg009.tif", MASK)
    put(tmp_path / "01_GT" / "SEG" / "other.tif", MASK)
    found = reasons(find_pairs(tmp_path))
    assert "warning: it annotates only the slice 5 of the volume t001.tif; it is left out" in found
    assert "error: there is no frame for it; it is left out" in found
    assert "error: its name is not man_segNNN; it is left out" in found


def test_the_layout_of_the_data_science_bowl_is_read(tmp_path):
    for case in ("c1", "c2"):
        put(tmp_path / case / "images" / f"{case}.png")
        for number in range(2):
            one = np.zeros_like(MASK)
            one[number] = 255
            put(tmp_path / case / "masks" / f"{number}.png", one)
    (tmp_path / "c3" / "images").mkdir(parents=True)
    (tmp_path / "c3" / "masks").mkdir()
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["c1", "c2"]
    _, labels = read_pair(pairs[0], resolve_spec(pairs).spec)
    assert labels.ids.tolist() == [[1] * 4, [2] * 4, [0] * 4]
    assert reasons(pairs) == ["error: it holds 0 images and 0 masks; it is left out"]


def bowl(root, **files):
    """Cases with one image and so many files of masks."""
    for case, count in files.items():
        put(root / case / "images" / "a.png")
        (root / case / "masks").mkdir()
        for row in range(count):
            put(root / case / "masks" / f"{row}.png", one_object(row) if count > 1 else MASK)
    return root


def test_an_empty_folder_of_objects_is_an_image_without_objects(tmp_path):
    pairs = find_pairs(bowl(tmp_path, c1=2, c2=0))
    assert pairs.findings == ()
    spec = resolve_spec(pairs).spec
    assert [read_pair(pair, spec)[1].ids.max() for pair in pairs] == [2, 0]
    examination = examine(pairs)
    assert examination.errors == ()
    empty = [one.file for one in examination.findings if "no object" in one.reason]
    assert empty == [str(tmp_path / "c2" / "masks")]


def test_cases_with_one_mask_file_each_are_ordinary_pairs(tmp_path):
    pairs = find_pairs(bowl(tmp_path, c1=1, c2=1))
    assert [pair.mask for pair in pairs] == [tmp_path / case / "masks" / "0.png" for case in ("c1", "c2")]
    spec = resolve_spec(pairs).spec
    assert (spec.kind, spec.values) == ("classes", {0: 0, 255: 1})
    pairs = find_pairs(bowl(tmp_path, c3=0))
    assert [pair.name for pair in pairs] == ["c1", "c2"]
    assert reasons(pairs) == [f"warning: {tmp_path / 'c3' / 'masks'} holds no mask; it is left out"]


def test_a_folder_of_data_sets_is_said_to_be_one(tmp_path):
    own_layout(tmp_path / "train")
    own_layout(tmp_path / "val")
    with pytest.raises(DatasetError, match=r"this folder holds data sets; give one of them, such as .*/train"):
        find_pairs(tmp_path)


def test_a_description_beside_a_foreign_layout_adds_to_it(tmp_path):
    tracking(tmp_path, ("01", "02"))
    (tmp_path / "dataset.toml").write_text("pixel_size = [0.5, 0.5]")
    pairs = find_pairs(tmp_path)
    assert pairs.description.labels == "objects"
    assert pairs[0].pixel_size == (0.5, 0.5)


def test_channels_of_different_shapes_are_an_error(tmp_path):
    nnunet(tmp_path, {"background": 0, "a": 1, "b": 2}, channels=2)
    put(tmp_path / "imagesTr" / "c_2_0001.nii.gz", np.zeros((2, 3, 5), np.int16))
    pairs = find_pairs(tmp_path)
    with pytest.raises(ImageError, match=r"5 x 3 x 2 \(z y x\), but the first channel"):
        read_pair(pairs[0], resolve_spec(pairs).spec)


def test_a_folder_that_is_no_data_set_is_explained(tmp_path):
    with pytest.raises(MissingInputError, match="no such folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="it is a file"):
        find_pairs(put(tmp_path / "a.png"))
    with pytest.raises(DatasetError, match=r"no data set is recognised here, the folder holds a\.png\."):
        find_pairs(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="there is images/ but no masks/"):
        find_pairs(tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(DatasetError, match="holds no image files"):
        find_pairs(tmp_path)
    put(tmp_path / "images" / "a.png")
    put(tmp_path / "masks" / "b.png")
    with pytest.raises(DatasetError, match="no image has a mask"):
        find_pairs(tmp_path)


def test_images_may_have_pixel_sizes_of_their_own(tmp_path):
    own_layout(tmp_path, ("a1", "a2", "b"), toml="[pixel_sizes]\n'a*' = [0.5, 0.25]\n'c' = [1, 1]\n")
    pairs = find_pairs(tmp_path)
    assert [pair.pixel_size for pair in pairs] == [(0.5, 0.25), (0.5, 0.25), None]
    assert reasons(pairs) == ["warning: pixel_sizes speaks of 'c', but no image has such a name"]
