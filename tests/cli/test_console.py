from segue.cli.console import judged_on, scores_of


def test_scores_are_shown_with_their_intervals_and_a_dash_where_there_is_no_number():
    interval = {"mean": 0.12341, "low": 0.1, "high": 0.25}
    summary = {"metrics": {"a": interval, "b": {"mean": None, "low": None, "high": None}}}
    assert scores_of(summary, ["b", "a"]) == [("b", "-", "-"), ("a", "0.1234", "0.1000 to 0.2500")]


def test_what_there_was_no_time_for_stands_above_the_scores():
    assert judged_on({"images": 3}) == "on 3 held-out images, with 95 % intervals over images:"
    assert judged_on({"images": 3, "left_out": 0, "in_part": 0, "without_mirror": 0}) == judged_on({"images": 3})
    short = judged_on({"images": 3, "left_out": 2, "in_part": 0, "without_mirror": 3})
    assert short.startswith(
        "time was short, 'segue evaluate' judges better: 2 left out, 3 seen without mirror images\n"
    )
    assert short.endswith(judged_on({"images": 3}))
