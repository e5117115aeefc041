"""A picture holds a row for each case and is written whole."""

import numpy as np
import pytest

from segue.arrays import IGNORE, Image
from segue.errors import CannotCreateError, LabelError, UsageError
from segue.report.colours import UNKNOWN
from segue.report.picture import Case, picture, save_picture
from segue.simulate import simulate_cells


def case_of(shape, **more) -> Case:
    image = Image(pixels=np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32))
    ids = np.zeros(shape, int)
    ids[..., : shape[-1] // 2] = 1
    return Case(image=image, **({"truth": ids, "predicted": ids} | more))


def test_more_cases_make_a_higher_picture_of_the_same_width():
    one = picture([case_of((20, 30))], kind="classes", panel=100)
    two = picture([case_of((20, 30))] * 2, kind="classes", panel=100)
    assert one.dtype == np.uint8
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] > one.shape[0] + 60


def test_without_a_truth_there_are_two_panels_instead_of_four():
    with_truth = picture([case_of((20, 20))], kind="objects", panel=100)
    without = picture([case_of((20, 20), truth=None)], kind="objects", panel=100)
    assert with_truth.shape[1] - without.shape[1] == 2 * (100 + 14)


@pytest.mark.parametrize("kind", ["classes", "objects"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (5, 6, 7), (300, 700)])
def test_images_of_every_size_and_volumes_can_be_drawn(kind, shape):
    drawn = picture([case_of(shape, caption="a.tif", score="0.9")], kind=kind, title="A title", panel=80)
    assert drawn.ndim == 3
    assert (drawn == 255).all(axis=-1).any()
    assert (drawn != 255).any()


def test_the_first_panel_shows_the_image_itself():
    image, labels = simulate_cells((64, 64), seed=0)
    drawn = picture([Case(image=image, predicted=labels.ids)], kind="objects", panel=64)
    found = [
        (y, x)
        for y in range(drawn.shape[0] - 64)
        for x in range(0, drawn.shape[1] - 64, 4)
        if (drawn[y, x : x + 64, 0] == drawn[y, x : x + 64, 1]).all() and drawn[y : y + 64, x, 0].std() > 3
    ]
    assert found


def test_a_case_without_truth_among_others_leaves_its_panels_blank():
    drawn = picture([case_of((20, 20)), case_of((20, 20), truth=None)], kind="classes", panel=100)
    panels = [drawn[:, 28 + column * (100 + 14) :][:, :100] for column in range(4)]
    assert [(panel == 245).all(axis=(1, 2)).sum() for panel in panels] == [0, 100, 0, 100]


def test_pixels_nobody_annotated_are_explained_in_the_legend():
    def grey_in_the_legend(truth):
        drawn = picture([case_of((20, 20), truth=truth)], kind="classes", panel=200)
        return (drawn[-28 - 2 * 12 :] == UNKNOWN).all(axis=-1).sum()  # two lines of 12 pixels and the margin

    assert grey_in_the_legend(np.zeros((20, 20), int)) == 0
    assert grey_in_the_legend(np.full((20, 20), IGNORE)) > 12 * 12


def test_a_very_long_caption_does_not_widen_the_picture():
    short = picture([case_of((20, 20))], kind="classes", panel=100)
    long = picture([case_of((20, 20), caption="x" * 500)], kind="classes", panel=100)
    assert short.shape == long.shape


def test_a_picture_of_nothing_is_refused():
    with pytest.raises(UsageError, match="0 cases cannot be drawn"):
        picture([], kind="classes")


def test_a_prediction_of_another_shape_is_refused():
    with pytest.raises(LabelError, match=r"shape \(20, 20\) and its prediction \(3, 3\)"):
        picture([case_of((20, 20), predicted=np.zeros((3, 3), int))], kind="classes")


def test_a_saved_picture_is_read_back_unchanged(tmp_path):
    from PIL import Image as PillowImage

    drawn = picture([case_of((20, 20))], kind="objects", panel=60)
    save_picture(tmp_path / "new" / "picture.png", drawn)
    np.testing.assert_array_equal(np.array(PillowImage.open(tmp_path / "new" / "picture.png")), drawn)


def test_a_picture_in_an_impossible_place_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateError, match="cannot be created"):
        save_picture(tmp_path / "file" / "picture.png", np.zeros((2, 2, 3), np.uint8))
