from pathlib import Path

import pytest

from segue.io.natural import has_image_suffix, natural_key, stem_of


def test_numbers_inside_of_names_count_as_numbers():
    names = ["t10", "t2", "T1", "t2a", "1", "t02", "a"]
    assert sorted(names, key=natural_key) == ["1", "T1", "a", "t02", "t2", "t2a", "t10"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.png", "a"),
        ("a.b.png", "a.b"),
        ("a.nii.gz", "a"),
        ("a.OME.TIF", "a"),
        ("a.ome.png", "a.ome"),
        ("a", "a"),
    ],
)
def test_the_stem_is_the_name_without_its_whole_suffix(name, stem):
    assert stem_of(Path(name)) == stem


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("a.PNG", True),
        ("a.nii.gz", True),
        ("a.gz", False),
        (".a.png", False),
        ("a.txt", False),
        ("png", False),
    ],
)
def test_image_files_are_told_by_their_suffix(name, answer):
    assert has_image_suffix(Path(name)) is answer
