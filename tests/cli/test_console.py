from segue.cli.console import scores_of


def test_scores_are_shown_with_their_intervals_and_a_dash_where_there_is_no_number():
    interval = {"mean": 0.12341, "low": 0.1, "high": 0.25}
    summary = {"metrics": {"a": interval, "b": {"mean": None, "low": None, "high": None}}}
    assert scores_of(summary, ["b", "a"]) == [("b", "-", "-"), ("a", "0.1234", "0.1000 to 0.2500")]
