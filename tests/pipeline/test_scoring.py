import json

import nibabel
import numpy as np
import pytest

from segue.arrays import Image, Labels, Probabilities, Space
from segue.errors import DatasetError, LabelError, MissingInputError, UsageError
from segue.evaluate.membranes import score_membranes
from segue.io.images import write_image, write_labels, write_probabilities
from segue.io.labels import read_mask
from segue.pipeline.scoring import evaluate_files
from segue.pipeline.truths import find_truths

FLAT = Space()


def write(path, ids):
    write_labels(path, np.asarray(ids, np.int32), space=FLAT)


def copy_masks(data, out, *, leave_out=()):
    out.mkdir(parents=True)
    for mask in sorted((data / "masks").iterdir()):
        if mask.stem not in leave_out:
            (out / mask.name).write_bytes(mask.read_bytes())
    return out


def means(summary):
    return {name: entry["mean"] for name, entry in summary["metrics"].items()}


@pytest.mark.parametrize("truth", ["data set", "folder of masks", "one mask"])
def test_the_truth_compared_with_itself_is_perfect(cells, tmp_path, truth):
    predicted = copy_masks(cells, tmp_path / "out")
    path = {"data set": cells, "folder of masks": cells / "masks", "one mask": cells / "masks" / "cell-03.tif"}[truth]
    summary = evaluate_files(path, predicted if truth != "one mask" else predicted / "cell-03.tif", kind="objects")
    assert summary["images"] == (1 if truth == "one mask" else 8)
    assert summary["kind"] == "objects"
    assert summary["missing"] == []
    assert means(summary)["average_precision_50_95"] == 1
    assert means(summary)["count_error"] == 0


def test_the_dice_of_one_file_by_hand(tmp_path):
    write(tmp_path / "truth.tif", [[0, 0, 1, 1]])
    write(tmp_path / "found.tif", [[0, 1, 1, 1]])
    summary = evaluate_files(tmp_path / "truth.tif", tmp_path / "found.tif", kind="classes")
    # background 2 x 1 / (2 + 1), foreground 2 x 2 / (2 + 3)
    assert means(summary)["dice/background"] == pytest.approx(2 / 3)
    assert means(summary)["dice/foreground"] == pytest.approx(4 / 5)
    assert means(summary)["pixel_error"] == pytest.approx(1 / 4)
    assert [row["name"] for row in summary["per_image"]] == ["truth"]


def test_names_that_look_the_same_are_the_same(tmp_path):
    for number in (1, 2):
        write(tmp_path / "truth" / f"\u00e4{number}.tif", [[0, 0, 1, 1]])
        write(tmp_path / "found" / f"a\u0308{number}.tif", [[0, 1, 1, 1]])
    summary = evaluate_files(tmp_path / "truth", tmp_path / "found", kind="classes")
    assert (summary["images"], summary["missing"]) == (2, [])


def test_missing_predictions_are_listed_and_the_rest_is_scored(cells, tmp_path):
    predicted = copy_masks(cells, tmp_path / "out", leave_out=("cell-02", "cell-05"))
    told = []
    summary = evaluate_files(cells, predicted, on_image=lambda done, total: told.append((done, total)))
    assert summary["missing"] == ["cell-02", "cell-05"]
    assert summary["images"] == 6
    assert told == [(number, 6) for number in range(1, 7)]


def test_the_summary_is_plain_data(cells, tmp_path):
    summary = evaluate_files(cells, copy_masks(cells, tmp_path / "out"))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def of_one_image(scores):
    """Its own scores, which are the pooled ones too."""
    pooled = ("v_rand", "v_info", "adapted_rand_error")
    return scores.metrics() | {f"pooled/{name}": scores.metrics()[name] for name in pooled}


def membrane_truth(membranes, name="membrane-00"):
    ids = read_mask(membranes / "masks" / f"{name}.tif").values.astype(np.int32)
    return Labels(ids=ids, kind="classes", classes=("membrane", "cell"))


def blurred(truth):
    """Probabilities of membrane and cell with mistakes, in single precision."""
    noise = np.random.default_rng(0).uniform(0, 0.7, truth.shape).astype(np.float32)
    cell = np.where(truth.ids == 1, 1 - noise, noise).astype(np.float32)
    return np.stack([1 - cell, cell])


def write_classes_of_other_order(folder, truth):
    """The same data set, but with the classes the other way round: background and membrane."""
    write(folder / "masks" / "membrane-00.tif", 1 - truth.ids)
    write_image(folder / "images" / "membrane-00.tif", Image(pixels=np.zeros((1, *truth.shape), np.float32)))
    (folder / "dataset.toml").write_text('labels = "classes"\nclasses = ["background", "membrane"]\n')
    return folder


def test_membranes_are_scored_from_probabilities_whatever_the_order_of_the_classes(membranes, tmp_path):
    truth = membrane_truth(membranes)
    values = blurred(truth)
    expected = of_one_image(score_membranes(truth, values[1]))
    assert 0 < expected["v_rand"] < 1
    for order, data in ((1, membranes), (-1, write_classes_of_other_order(tmp_path / "data", truth))):
        out = tmp_path / f"out{order}"
        names = ("membrane", "cell")[::order]
        write_probabilities(out / "membrane-00.tif", Probabilities(values=values[::order].copy(), classes=names))
        found = means(evaluate_files(data, out, kind="membranes"))
        assert found == pytest.approx(expected, abs=1e-6)


def test_membranes_are_scored_from_classes(membranes, tmp_path):
    truth = membrane_truth(membranes)
    found = (blurred(truth)[1] > 0.4).astype(np.int32)
    write(tmp_path / "membrane-00.tif", found)
    summary = evaluate_files(membranes, tmp_path, kind="membranes")
    assert means(summary) == pytest.approx(of_one_image(score_membranes(truth, found)))


def test_membranes_are_scored_from_the_probability_of_cells_alone(membranes, tmp_path):
    truth = membrane_truth(membranes)
    cell = blurred(truth)[1]
    write_image(tmp_path / "membrane-00.tif", Image(pixels=cell[None]))
    summary = evaluate_files(membranes, tmp_path, kind="membranes")
    assert means(summary) == pytest.approx(of_one_image(score_membranes(truth, cell)), abs=1e-6)


def test_maps_and_masks_of_membranes_are_scored_together(membranes, tmp_path):
    first, second = (membrane_truth(membranes, f"membrane-0{number}") for number in (0, 1))
    write_image(tmp_path / "membrane-00.tif", Image(pixels=blurred(first)[1:]))
    write(tmp_path / "membrane-01.tif", second.ids)
    found = means(evaluate_files(membranes, tmp_path, kind="membranes"))
    assert 0 < found["pooled/v_rand"] <= 1


def without_description(root, *masks):
    for number, ids in enumerate(masks):
        write(root / "masks" / f"{number}.tif", ids)
        write_image(root / "images" / f"{number}.tif", Image(pixels=np.zeros((1, *np.shape(ids)), np.float32)))
    return root


@pytest.mark.parametrize("way", ["folder of masks", "data set", "data set that says it holds classes"])
def test_small_values_that_nobody_explained_are_class_ids_if_a_prediction_holds_such_an_id(tmp_path, way):
    ids = np.kron([[0, 2, 0, 2]], np.ones((4, 4), int))
    data = without_description(tmp_path / "data", ids, ids, ids)
    if way == "data set that says it holds classes":
        (data / "dataset.toml").write_text('labels = "classes"\n')
    if way == "folder of masks":
        data = (data / "masks").rename(tmp_path / "alone")
    for number in range(3):
        write(tmp_path / "other" / f"{number}.tif", ids // 2)
        write(tmp_path / "same" / f"{number}.tif", ids)
    same = evaluate_files(data, tmp_path / "same")
    assert (means(same)["dice/class 2"], same["numbered"]) == (1, {})
    other = evaluate_files(data, tmp_path / "other")  # as a model answers that was trained on these masks
    assert (means(other)["dice"], other["numbered"]) == (1, {"0": 0, "2": 1})


def test_a_class_that_is_absent_from_the_truth_does_not_renumber_the_others(tmp_path):
    ids = np.kron([[0, 1, 0, 3, 0, 1, 0, 3]], np.ones((4, 4), int))
    write(tmp_path / "truth" / "a.tif", ids)
    write(tmp_path / "found" / "a.tif", ids)
    found = means(evaluate_files(tmp_path / "truth", tmp_path / "found", kind="classes"))
    assert found["dice"] == found["dice/class 1"] == found["dice/class 3"] == 1
    assert found["dice/class 2"] is None


@pytest.mark.parametrize("code", [255, 50])
def test_spread_codes_that_nobody_explained_are_numbered(tmp_path, code):
    ids = np.kron([[0, 1, 0, 1]], np.ones((4, 4), int))
    write(tmp_path / "truth" / "a.tif", ids * code)
    write(tmp_path / "found" / "a.tif", ids)
    assert means(evaluate_files(tmp_path / "truth", tmp_path / "found", kind="classes"))["dice"] == 1


def test_what_the_description_says_of_the_values_counts(tmp_path):
    ids = np.kron([[0, 2, 0, 2]], np.ones((4, 4), int))
    data = without_description(tmp_path / "data", ids)
    write(tmp_path / "found" / "0.tif", ids // 2)
    for description in ('classes = ["background", "cell"]\n', "values = { 0 = 0, 2 = 1 }\n"):
        (data / "dataset.toml").write_text('labels = "classes"\n' + description)
        assert means(evaluate_files(data, tmp_path / "found"))["dice"] == 1


@pytest.mark.parametrize("side", ["truth", "predicted"])
def test_two_files_for_one_image_are_refused(tmp_path, side):
    for folder in ("truth", "predicted"):
        for name in ("a", "b"):
            write(tmp_path / folder / f"{name}.tif", np.eye(6))
    write(tmp_path / side / "a.png", np.eye(6))
    message = rf"{side}/a\.png and .*{side}/a\.tif are both for one image; move one of them away"
    with pytest.raises(DatasetError, match=message):
        evaluate_files(tmp_path / "truth", tmp_path / "predicted")


@pytest.mark.parametrize("kind", ["classes", "objects", "membranes"])
def test_a_prediction_of_another_shape_is_refused_with_both_shapes(tmp_path, kind):
    write(tmp_path / "truth.tif", np.eye(6))
    write(tmp_path / "found.tif", np.eye(5))
    with pytest.raises(LabelError, match=r"found\.tif: its shape is \(5, 5\), but that of its truth .* is \(6, 6\)"):
        evaluate_files(tmp_path / "truth.tif", tmp_path / "found.tif", kind=kind)


def write_nifti(path, values, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


LPS = np.diag([-0.5, -0.5, 2.0, 1.0])
VOLUME = np.zeros((6, 5, 4), np.uint8)
VOLUME[1:3, 1, 1:3] = 1


@pytest.mark.parametrize("way", ["mask", "data set"])
@pytest.mark.parametrize("kind", ["classes", "objects", "membranes"])
def test_a_prediction_that_says_it_lies_elsewhere_than_its_truth_is_refused(tmp_path, kind, way):
    for folder in ("images", "masks"):
        write_nifti(tmp_path / "data" / folder / "a.nii.gz", VOLUME, LPS)
    truth = tmp_path / "data" / "masks" / "a.nii.gz" if way == "mask" else tmp_path / "data"
    write_nifti(tmp_path / "a.nii.gz", VOLUME, np.eye(4))
    message = r"a\.nii\.gz: prediction and truth \(.*a\.nii\.gz\) say they lie differently in space: RAS with .*LPS"
    with pytest.raises(LabelError, match=message):
        evaluate_files(truth, tmp_path / "a.nii.gz", kind=kind)


def test_predictions_in_another_order_of_voxels_or_without_a_place_are_compared_where_they_lie(tmp_path):
    write_nifti(tmp_path / "truth.nii.gz", VOLUME, LPS)
    turned = np.diag([0.5, 0.5, 2.0, 1.0])
    turned[:2, 3] = -0.5 * (np.array(VOLUME.shape[:2]) - 1)
    write_nifti(tmp_path / "turned.nii", VOLUME[::-1, ::-1], turned)
    write(tmp_path / "none.tif", VOLUME[::-1, ::-1].transpose(2, 1, 0))  # as it is read: RAS+
    for name in ("truth.nii.gz", "turned.nii", "none.tif"):
        assert means(evaluate_files(tmp_path / "truth.nii.gz", tmp_path / name, kind="classes"))["dice"] == 1


def test_pixel_sizes_of_truth_and_prediction_may_differ(tmp_path):
    for name, size in (("truth", 0.1), ("found", 0.1000001), ("other", 3.0)):
        space = Space(pixel_size=(size, size), unit="micrometer")
        write_labels(tmp_path / f"{name}.tif", np.eye(6, dtype=np.int32), space=space)
        write_labels(tmp_path / f"{name}.png", np.eye(6, dtype=np.int32), space=FLAT)
    for name in ("found.tif", "found.png", "other.tif"):
        assert means(evaluate_files(tmp_path / "truth.tif", tmp_path / name, kind="classes"))["dice"] == 1


NUCLEI = np.kron([[1, 0, 2], [0, 0, 0], [3, 0, 4]], np.ones((4, 4), int))


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("way", ["mask", "folder of masks", "data set"])
def test_a_truth_of_classes_is_not_scored_as_objects(tmp_path, value, way):
    data = without_description(tmp_path / "data", (NUCLEI > 0) * value)
    truth = {"mask": data / "masks" / "0.tif", "folder of masks": data / "masks", "data set": data}[way]
    write(tmp_path / "0.tif", NUCLEI)
    message = r"0\.tif: foreground is in 4 pieces, .* give each object a number of its own, .* labels = \"objects\""
    with pytest.raises(LabelError, match=message):
        evaluate_files(truth, tmp_path / "0.tif", kind="objects")


@pytest.mark.parametrize(
    "description", ['labels = "classes"', 'classes = ["background", "cell"]', "values = {0=0, 1=1}"]
)
def test_a_truth_that_is_said_to_hold_classes_is_not_scored_as_objects(tmp_path, description):
    data = without_description(tmp_path / "data", NUCLEI == 1)  # in one piece, by chance
    (data / "dataset.toml").write_text(description)
    write(tmp_path / "0.tif", NUCLEI == 1)
    message = r'data: its masks hold classes \(background, \w+\), as its description says, .* labels = "objects"'
    with pytest.raises(LabelError, match=message):
        evaluate_files(data, tmp_path / "0.tif", kind="objects")


@pytest.mark.parametrize("rest", [0, 2], ids=["in one piece each", "one in three pieces"])
def test_several_values_are_objects_if_one_says_so(tmp_path, rest):
    ids = np.where(NUCLEI > 2, rest, NUCLEI)
    write(tmp_path / "truth.tif", ids)
    write(tmp_path / "found.tif", ids if rest else NUCLEI)
    assert find_truths(tmp_path / "truth.tif").spec.kind == "classes"  # as three values are taken for
    found = means(evaluate_files(tmp_path / "truth.tif", tmp_path / "found.tif", kind="objects"))
    assert found["average_precision"] == (1 if rest else 2 / 4)


def test_binary_masks_that_are_said_to_hold_objects_are_scored_and_named_as_the_doctor_does(tmp_path):
    data = without_description(tmp_path / "data", (NUCLEI > 0) * 255)
    (data / "dataset.toml").write_text('labels = "objects"')
    write(tmp_path / "0.tif", NUCLEI)
    summary = evaluate_files(data, tmp_path / "0.tif")
    assert means(summary)["count_error"] == 3
    (finding,) = summary["findings"]
    assert "0.tif: the masks are binary (0 and 255), so all objects of a mask count as one; touching" in finding
    write(data / "masks" / "0.tif", NUCLEI)
    assert evaluate_files(data, tmp_path / "0.tif")["findings"] == []


def test_predictions_of_other_images_are_refused(cells, tmp_path):
    write(tmp_path / "x.tif", np.eye(64))
    write(tmp_path / "y.tif", np.eye(64))
    with pytest.raises(DatasetError, match=r"no file has the name of one in .* \(for example cell-00\)"):
        evaluate_files(cells, tmp_path)


@pytest.mark.parametrize("side", ["truth", "predicted"])
def test_what_is_not_there_is_missing(cells, tmp_path, side):
    paths = {"truth": cells, "predicted": cells / "masks"} | {side: tmp_path / "nowhere"}
    with pytest.raises(MissingInputError, match="nowhere"):
        evaluate_files(**paths)


def test_scores_of_something_else_are_refused(cells):
    with pytest.raises(UsageError, match='"classes", "objects" or "membranes", not "tracks"'):
        evaluate_files(cells, cells / "masks", kind="tracks")  # type: ignore[arg-type]


COLOURED = 'classes = ["background", "red", "white"]\nobject_classes = "types"\n'


def two_kinds(root):
    """A data set of one image with the objects 1 and 2, red, and 3, white."""
    ids = [[1, 1, 0, 2, 2, 0, 3, 3]]
    write_image(root / "images" / "a.tif", Image(pixels=np.asarray([ids], np.float32)))
    write(root / "masks" / "a.tif", ids)
    (root / "types").mkdir()
    (root / "types" / "a.csv").write_text("id,class\n1,red\n2,red\n3,white\n")
    (root / "dataset.toml").write_text(COLOURED)
    return root


def test_a_table_beside_the_prediction_tells_the_classes_of_its_objects(tmp_path):
    data = two_kinds(tmp_path / "data")
    write(tmp_path / "out" / "a.tif", [[4, 4, 0, 2, 2, 0, 1, 1]])
    (tmp_path / "out" / "a.csv").write_text("id,class,area_px\n1,white,2\n2,white,2\n4,red,2\n")
    summary = evaluate_files(data, tmp_path / "out")
    assert summary["without_classes"] == []
    found = means(summary)
    assert found["average_precision"] == 1
    assert found["class_accuracy"] == pytest.approx(2 / 3)
    assert found["average_precision/red"] == found["average_precision/white"] == pytest.approx(1 / 2)
    assert found["pooled/mean_class_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("ids", "strange"), [((1, 2, 4, 5), 5), ((2, 4), 1)])
def test_a_table_of_other_objects_than_those_of_the_prediction_is_refused(tmp_path, ids, strange):
    data = two_kinds(tmp_path / "data")
    write(tmp_path / "out" / "a.tif", [[4, 4, 0, 2, 2, 0, 1, 1]])
    (tmp_path / "out" / "a.csv").write_text("id,class\n" + "".join(f"{one},red\n" for one in ids))
    message = (
        rf"a\.csv: its ids are not those of the objects in .*a\.tif \(only one of the two has {strange}\), so it may"
    )
    with pytest.raises(LabelError, match=message):
        evaluate_files(data, tmp_path / "out")


def test_predictions_without_a_table_are_named_and_scored_as_objects_of_one_class(tmp_path):
    data = two_kinds(tmp_path / "data")
    write(tmp_path / "out" / "a.tif", [[4, 4, 0, 2, 2, 0, 1, 1]])
    (tmp_path / "out" / "a.csv").write_text("id,area_px\n1,2\n2,2\n4,2\n")
    summary = evaluate_files(data, tmp_path / "out")
    assert summary["without_classes"] == ["a"]
    assert means(summary)["average_precision"] == 1
    assert "class_accuracy" not in means(summary)
    assert evaluate_files(data, tmp_path / "out", kind="membranes")["without_classes"] == []


def test_a_class_that_the_truth_does_not_know_is_refused(tmp_path):
    data = two_kinds(tmp_path / "data")
    write(tmp_path / "out" / "a.tif", [[4, 4, 0, 2, 2, 0, 1, 1]])
    (tmp_path / "out" / "a.csv").write_text("id,class\n1,blue\n2,white\n4,red\n")
    with pytest.raises(LabelError, match=r"a\.csv: line 2 has the class 'blue'; an object is red \(1\) or white"):
        evaluate_files(data, tmp_path / "out")


def test_objects_of_several_classes_can_be_scored_pixel_by_pixel(tmp_path):
    data = two_kinds(tmp_path / "data")
    write(tmp_path / "out" / "a.tif", [[1, 1, 0, 2, 1, 0, 2, 2]])
    found = means(evaluate_files(data, tmp_path / "out", kind="classes"))
    assert found["dice/red"] == pytest.approx(2 * 3 / (4 + 3))
    assert found["dice/white"] == pytest.approx(2 * 2 / (2 + 3))
