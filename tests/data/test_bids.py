"""Cohorts from BIDS datasets. No image is opened here."""

import logging
import math
from pathlib import Path

import pytest

from brainweave.data.cohort import Cohort
from brainweave.errors import CohortError


def dataset(root: Path, *names: str, participants: str = "", sessions: str = "") -> Path:
    """Empty files sub-01[_ses-1]..._T1w.nii.gz in their places; tables with | for tabs."""
    for name in names:
        person, second = name.split("_")[:2]
        place = f"{person}/{second}/anat" if second.startswith("ses-") else f"{person}/anat"
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / f"{name}.nii.gz").touch()
    if participants:
        (root / "participants.tsv").write_text(participants.replace("|", "\t"))
    if sessions:
        (root / "sub-01" / "sub-01_sessions.tsv").write_text(sessions.replace("|", "\t"))
    return root


def test_participants_give_the_covariates(tmp_path: Path) -> None:
    table = "participant_id|age|gender|ICD-10\r\nsub-01|39|m|F32.0\r\nsub-02|n/a|f|n/a\r\n"
    cohort = Cohort.from_bids(dataset(tmp_path, "sub-01_T1w", "sub-02_T1w", participants=table))
    assert [s.covariates.get("sex") for s in cohort] == ["M", "F"]
    assert cohort[0].covariates == {"age": 39.0, "sex": "M", "icd-10": "F32.0"}


def test_participants_may_lack_the_prefix(tmp_path: Path) -> None:
    cohort = Cohort.from_bids(
        dataset(tmp_path, "sub-01_T1w", participants="participant_id|age\n01|39\n")
    )
    assert cohort[0].covariates["age"] == 39.0


def test_contrasts_of_a_session_are_one_entry(tmp_path: Path) -> None:
    names = ("sub-01_acq-a_T1w", "sub-01_ce-gadolinium_T1w", "sub-01_T2w", "sub-01_FLAIR")
    cohort = Cohort.from_bids(dataset(tmp_path, *names))
    assert [(s.id, sorted(s.images)) for s in cohort] == [
        ("sub-01", ["flair", "t1c", "t1w", "t2w"])
    ]


def test_sessions_are_entries_of_one_person(tmp_path: Path) -> None:
    cohort = Cohort.from_bids(dataset(tmp_path, "sub-01_ses-a_T1w", "sub-01_ses-b_T1w"))
    assert [(s.id, s.subject, s.session) for s in cohort] == [
        ("sub-01_ses-a", "sub-01", "ses-a"),
        ("sub-01_ses-b", "sub-01", "ses-b"),
    ]


def test_the_age_at_a_session_wins(tmp_path: Path) -> None:
    names = ("sub-01_ses-a_T1w", "sub-01_ses-b_T1w")
    table, visits = "participant_id|age|sex\nsub-01|30|F\n", "session_id|age\nses-a|n/a\nb|32.5\n"
    cohort = Cohort.from_bids(dataset(tmp_path, *names, participants=table, sessions=visits))
    assert [s.covariates["age"] for s in cohort] == [30.0, 32.5]


def test_runs_are_entries_of_one_person(tmp_path: Path) -> None:
    cohort = Cohort.from_bids(dataset(tmp_path, "sub-01_run-1_T1w", "sub-01_run-2_T1w"))
    assert [(s.id, s.subject) for s in cohort] == [
        ("sub-01_run-1", "sub-01"),
        ("sub-01_run-2", "sub-01"),
    ]


def test_runs_keep_their_own_contrasts_together(tmp_path: Path) -> None:
    names = [f"sub-01_run-{run}_{contrast}" for run in (1, 2) for contrast in ("T1w", "T2w")]
    cohort = Cohort.from_bids(dataset(tmp_path, *names))
    assert [{path.name[7:12] for path in s.images.values()} for s in cohort] == [
        {"run-1"},
        {"run-2"},
    ]


def test_what_a_session_holds_once_belongs_to_each_run(tmp_path: Path) -> None:
    names = ("sub-01_run-1_T1w", "sub-01_run-2_T1w", "sub-01_FLAIR")
    cohort = Cohort.from_bids(dataset(tmp_path, *names))
    assert [sorted(s.images) for s in cohort] == [["flair", "t1w"], ["flair", "t1w"]]


def test_a_scan_stored_twice_is_refused(tmp_path: Path) -> None:
    dataset(tmp_path, "sub-01_T1w")
    (tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii").touch()
    with pytest.raises(CohortError, match="one scan twice"):
        Cohort.from_bids(tmp_path)


def test_an_image_without_a_participant_lacks_covariates(tmp_path: Path) -> None:
    table = "participant_id|age|group\nsub-01|39|x\n"
    cohort = Cohort.from_bids(dataset(tmp_path, "sub-01_T1w", "sub-02_T1w", participants=table))
    assert math.isnan(float(cohort[1].covariates["age"]))
    assert "group" not in cohort[1].covariates


def test_participants_without_images_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset(tmp_path, "sub-01_T1w", participants="participant_id|age\nsub-01|39\nsub-07|40\n")
    with caplog.at_level(logging.INFO):
        Cohort.from_bids(tmp_path)
    assert "1 participants without images: sub-07" in caplog.text


def test_other_files_are_no_images(tmp_path: Path) -> None:
    dataset(tmp_path, "sub-01_T1w", "sub-01_T1w_mask", "sub-01_label-GM_probseg", "sub-01_T1map")
    assert Cohort.from_bids(tmp_path).modalities == ("t1w",)


def test_a_flat_folder_of_bids_names_is_read(tmp_path: Path) -> None:
    (tmp_path / "sub-01_T1w.nii.gz").touch()
    assert [s.id for s in Cohort.from_bids(tmp_path)] == ["sub-01"]


def test_a_split_in_participants_is_kept(tmp_path: Path) -> None:
    dataset(tmp_path, "sub-01_T1w", participants="participant_id|split|session\nsub-01|val|3\n")
    subject = Cohort.from_bids(tmp_path)[0]
    assert (subject.split, dict(subject.covariates)) == ("val", {"participant_session": 3.0})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name|age\nsub-01|39\n", "no column 'participant_id'"),
        ("participant_id|age\nsub-01|39\n01|40\n", "line 3: a second row for sub-01"),
        ("participant_id|sex|gender\nsub-01|F|F\n", "mean the same"),
    ],
)
def test_participants_that_are_wrong_say_so(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        Cohort.from_bids(dataset(tmp_path, "sub-01_T1w", participants=table))


def test_a_dataset_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no sub-"):
        Cohort.from_bids(tmp_path)
