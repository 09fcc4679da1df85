"""A report: the worst finding answers, its files are whole, nothing of others is overwritten."""

import csv
import json
import math
from pathlib import Path

import pytest

from brainweave.errors import EvaluationError, OutputError
from brainweave.evaluation.base import Score
from brainweave.evaluation.report import Finding, Grade, Report, Table, earlier

SCORES = (
    Score("pca/kid", 0.1 + 0.2, -1.0, 3.5, 60, 1.0, 0.5, -1.4, "ab" * 32),
    Score("copy/nearer [site=a,b]", 0.5),
)
FILES = ["findings.json", "report.html", "scores.csv", "scores.json"]


def report(*findings: Finding, scores: tuple[Score, ...] = SCORES) -> Report:
    return Report("Made against real", findings, scores)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_saved_scores_are_what_they_were(tmp_path: Path) -> None:
    report().save(tmp_path / "out")
    assert Report.load_scores(tmp_path / "out") == SCORES


def test_a_report_is_four_files(tmp_path: Path) -> None:
    report().save(tmp_path / "new" / "out")
    assert names(tmp_path / "new" / "out") == FILES


def test_scores_json_is_a_plain_list(tmp_path: Path) -> None:
    report().save(tmp_path)
    entries = json.loads((tmp_path / "scores.json").read_text())
    assert [entry["name"] for entry in entries] == [score.name for score in SCORES]


def test_a_value_that_is_not_finite_is_null_and_read_as_nan(tmp_path: Path) -> None:
    report(scores=(Score("age/slope", math.nan, low=math.inf),)).save(tmp_path)
    (entry,) = json.loads((tmp_path / "scores.json").read_text())
    (score,) = Report.load_scores(tmp_path)
    assert (entry["value"], entry["low"], score.low) == (None, None, None)
    assert math.isnan(score.value)


def test_the_csv_has_the_same_numbers_in_full(tmp_path: Path) -> None:
    report().save(tmp_path)
    with (tmp_path / "scores.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["value"]) == 0.1 + 0.2
    assert (second["name"], second["z"]) == ("copy/nearer [site=a,b]", "")


def test_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    report().save(tmp_path)
    report(scores=SCORES[:1]).save(tmp_path)
    assert len(Report.load_scores(tmp_path)) == 1
    assert names(tmp_path) == FILES


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".partial-1-report.html").touch()
    report().save(tmp_path)
    assert names(tmp_path) == FILES


def test_an_earlier_report_is_told_of_before_the_work(tmp_path: Path) -> None:
    assert not earlier(tmp_path / "out")
    report().save(tmp_path / "out")
    assert earlier(tmp_path / "out")


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub-01.nii.gz").touch()
    with pytest.raises(OutputError, match=r"holds sub-01\.nii\.gz, which no report wrote"):
        report().save(tmp_path)
    assert names(tmp_path) == ["sub-01.nii.gz"]


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="is a file"):
        earlier(tmp_path / "out" / inside)


def test_a_folder_without_a_report_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="brainweave evaluate --out"):
        Report.load_scores(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "3", "[3]", '[{"name": "a"', '[{"nome": "a"}]', "[{}]", '{"a": 1}']
)
def test_a_broken_list_of_scores_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"scores\.json is not a list of scores"):
        Report.load_scores(tmp_path)


@pytest.mark.parametrize(
    ("grades", "worst"),
    [
        (("good", "bad", "fair"), "bad"),
        (("good", "fair"), "fair"),
        (("good", "unknown"), "unknown"),
        (("good",), "good"),
        ((), "unknown"),
    ],
)
def test_the_worst_finding_answers(grades: tuple[Grade, ...], worst: Grade) -> None:
    assert report(*(Finding("like", grade, "x") for grade in grades)).grade("like") == worst


def test_nothing_to_distrust_is_good() -> None:
    assert report().answer("distrust") == "Nothing noted"


def test_what_was_not_tested_is_said() -> None:
    assert report().answer("copy") == "Not tested"


def test_the_summary_tells_findings_then_scores() -> None:
    lines = str(report(Finding("like", "bad", "They are too smooth."))).splitlines()
    assert lines[2:4] == ["Are they like real ones? No", "  They are too smooth."]
    assert "".join(lines[-2].split()) == "pca/kid0.3-1..3.51,0.5-1.460"


def test_the_columns_of_the_summary_are_aligned() -> None:
    head, first, second = str(report()).splitlines()[-3:]
    assert first.index("0.3") + 3 == second.index("0.5") + 3 == head.index("value") + 5


def test_a_table_with_a_short_row_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1 cells, 2 columns"):
        Table("a", "b", ("c", "d"), (("e",),), "")


def test_findings_and_facts_are_readable_by_programs(tmp_path: Path) -> None:
    report(Finding("like", "bad", "They are too smooth.")).save(tmp_path)
    saved = json.loads((tmp_path / "findings.json").read_text())
    assert saved["answers"]["like"] == "No"
    assert saved["findings"] == [{"topic": "like", "grade": "bad", "text": "They are too smooth."}]
    assert saved["facts"] == {}
