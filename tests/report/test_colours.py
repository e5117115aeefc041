from segue.report.colours import CLASS_COLOURS, DARK, class_colour


def test_class_colours_go_on_for_ever_and_only_class_zero_is_dark():
    assert [class_colour(n) for n in range(9)] == list(CLASS_COLOURS)
    assert class_colour(9) == CLASS_COLOURS[1]
    assert all(class_colour(n) != DARK for n in range(1, 40))
