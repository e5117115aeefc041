"""Hits become findings that people can read, however many there are."""

from segue.fingerprint import rules
from segue.fingerprint.rules import EMPTY, NOT_CONSECUTIVE, NOT_FINITE, UNUSABLE, Hit, Rule, as_hit, to_findings
from segue.io.findings import Finding


def hits(rule, count, detail="") -> list[Hit]:
    return [Hit(rule=rule, file=f"masks/{number}.png", detail=detail) for number in range(count)]


def test_few_files_are_named_one_by_one():
    findings = to_findings(hits(EMPTY, 3, "7"), files=10)
    assert [finding.file for finding in findings] == ["masks/0.png", "masks/1.png", "masks/2.png"]
    assert findings[0].reason == f"{EMPTY.what} (7)"


def test_many_files_become_one_finding_with_a_count_and_examples():
    (finding,) = to_findings(hits(EMPTY, 300), files=614)
    assert finding.file == "masks"
    assert finding.reason == f"{EMPTY.what}: 300 of 614 files, such as 0.png, 1.png, 2.png"
    assert finding.remedy == EMPTY.remedy


def test_errors_come_first_and_notes_last():
    findings = to_findings(hits(NOT_CONSECUTIVE, 1) + hits(EMPTY, 1) + hits(NOT_FINITE, 1), files=3)
    assert [finding.severity for finding in findings] == ["error", "warning", "note"]


def test_error_messages_that_differ_in_numbers_and_paths_only_are_merged():
    same = [
        Hit(rule=UNUSABLE, file=f"{number}.png", detail=f"its shape is {number} x 8, see /a/{number}.png")
        for number in range(5)
    ]
    other = Hit(rule=UNUSABLE, file="x.png", detail="it is truncated")
    findings = to_findings([*same, other], files=9)
    assert [finding.reason for finding in findings] == [
        "5 of 9 files cannot be used, the first is 0.png: its shape is 0 x 8, see /a/0.png",
        "it is truncated",
    ]


def test_what_the_layout_noticed_is_said_once_for_many_files_whatever_their_names():
    names = ("mouse", "rat", "t1", "t2")
    lonely = [
        Finding(
            severity="warning", file=f"images/{name}.png", reason=f"there is no mask for {name!r}", remedy="draw it"
        )
        for name in names
    ]
    assert to_findings([as_hit(one) for one in lonely[:3]], files=9) == lonely[:3]
    (finding,) = to_findings([as_hit(one) for one in lonely], files=9)
    assert (finding.severity, finding.file, finding.remedy) == ("warning", "images", "draw it")
    assert finding.reason == "4 files are alike, the first is images/mouse.png: there is no mask for 'mouse'"


def test_nothing_found_gives_no_finding():
    assert to_findings([], files=0) == []


def test_a_warning_asks_for_something_and_a_note_for_nothing():
    known = [rule for rule in vars(rules).values() if isinstance(rule, Rule)]
    idle = {rule.what for rule in known if rule.remedy.startswith("nothing has to be done")}
    assert idle == {rule.what for rule in known if rule.severity == "note"}
