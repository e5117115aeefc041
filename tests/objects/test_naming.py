import pytest

from segue.errors import LabelError
from segue.objects.naming import class_names


def test_the_class_of_an_id_stands_at_its_place_from_1_on():
    assert class_names([1, 3], ["red", "white", "red"]) == ["red", "red"]
    assert class_names([2], ["red", "white"]) == ["white"]


def test_without_classes_all_are_of_the_default():
    assert class_names([4, 9], None) == ["object", "object"]
    assert class_names([4], None, default="cell") == ["cell"]
    assert class_names([], ["red"]) == []


def test_an_id_without_a_class_is_refused():
    with pytest.raises(LabelError, match="the classes of 1 objects are known, but there is an object 2"):
        class_names([1, 2], ["red"])
