"""Cohorts joined into one table, and OASIS-3. No image is opened here."""

import logging
from pathlib import Path

import pytest

from brainweave.data.catalog import catalog
from brainweave.data.cohort import Cohort
from brainweave.errors import CohortError, OutputError

CLINICAL = """dx1,list1_id,ageAtVisit
Cognitively normal,OAS30001_MR_d0129,48.87
Cognitively normal,OAS30001_MR_d0757,50.6
Cognitively normal,OAS30002_MR_d0371,67
AD Dementia,OAS30003_MR_d0558,70.1
Cognitively normal,OAS30004_UDS_d0001,71
"""


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root.resolve()


def oasis(root: Path, *names: str, clinical: str = CLINICAL) -> tuple[Path, Path]:
    (root / "clinical.csv").write_text(clinical)
    return folder(root / "images", *names), root / "clinical.csv"


def test_a_catalog_is_written_and_returned(tmp_path: Path) -> None:
    made = catalog([folder(tmp_path / "a", "x_AGE_48.87.nii")], tmp_path / "cohort.csv")
    assert made == Cohort.from_csv(tmp_path / "cohort.csv")


def test_inputs_of_several_kinds_are_joined(tmp_path: Path) -> None:
    named = folder(tmp_path / "named", "x_AGE_65.nii")
    bids = folder(tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii")
    (tmp_path / "table.csv").write_text("id,t1\nq,q.nii\n")
    made = catalog([named, bids, tmp_path / "table.csv"], tmp_path / "out.csv")
    assert [s.id for s in made] == ["x_AGE_65", "sub-01", "q"]


def test_ids_that_clash_get_the_name_of_their_input(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", "x_AGE_65.nii", "y_AGE_65.nii")
    two = folder(tmp_path / "two", "x_AGE_65.nii")
    made = catalog([one, two], tmp_path / "out.csv")
    assert [s.id for s in made] == ["one_x_AGE_65", "y_AGE_65", "two_x_AGE_65"]


def test_ids_that_still_clash_are_refused(tmp_path: Path) -> None:
    inputs = [folder(tmp_path / name / "raw", "x_AGE_65.nii") for name in "ab"]
    with pytest.raises(CohortError, match="'raw_x_AGE_65' is used 2 times"):
        catalog(inputs, tmp_path / "out.csv")


def test_an_image_in_two_inputs_is_refused(tmp_path: Path) -> None:
    inner = folder(tmp_path / "a" / "b", "x_AGE_65.nii")
    with pytest.raises(CohortError, match=r"x_AGE_65\.nii is in both"):
        catalog([inner.parent, inner], tmp_path / "out.csv")


def test_a_modality_is_all_that_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("x_AGE_65_T1w.nii", "x_AGE_65_T2w.nii", "y_AGE_65_T1w.nii", "z_AGE_6.nii")
    made = catalog([folder(tmp_path / "a", *names)], tmp_path / "out.csv", modality="T2w")
    assert [(s.id, list(s.images)) for s in made] == [("x_AGE_65", ["t2w"]), ("z_AGE_6", ["t2w"])]
    assert "1 of 3 scans have no t2w" in caplog.text


def test_an_existing_table_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        catalog([folder(tmp_path / "a", "x_AGE_65.nii")], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "precious"


def test_an_allowed_overwriting_reads_the_images_and_not_the_old_table(tmp_path: Path) -> None:
    root = folder(tmp_path, "x_AGE_65.nii")
    catalog([root], root / "cohort.csv")
    made = catalog([folder(root, "y_AGE_66.nii")], root / "cohort.csv", overwrite=True)
    assert [s.id for s in made] == ["x_AGE_65", "y_AGE_66"]


@pytest.mark.parametrize("modality", ["t1w", None])
def test_an_empty_catalog_is_refused(tmp_path: Path, modality: str | None) -> None:
    inputs = [folder(tmp_path / "a", "x_AGE_65_T2w.nii")] if modality else []
    with pytest.raises(CohortError, match=r"no subject is left|nothing to catalog"):
        catalog(inputs, tmp_path / "out.csv", modality=modality)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-OAS30001_ses-d0129_T1w.nii.gz", "OAS30001_d0129"),
        ("sub-OAS30001_ses-d0129_run-01_T1w.nii.gz", "OAS30001_d0129_run-01"),
        ("sub-OAS30001_sess-d0129_T1w.nii.gz", "OAS30001_d0129"),
        ("deep/er/sub-OAS30001_ses-d0129_acq-TFE_run-02_T1w.nii", "OAS30001_d0129_run-02"),
    ],
)
def test_an_oasis3_image_finds_its_age(tmp_path: Path, name: str, expected: str) -> None:
    images, clinical = oasis(tmp_path, name)
    subject = catalog([images], tmp_path / "out.csv", oasis3=clinical)[0]
    assert (subject.id, subject.subject, subject.session) == (expected, "OAS30001", "d0129")
    assert subject.covariates == {"age": 48.87, "condition": "CN"}


def test_an_oasis3_age_is_written_to_its_last_digit(tmp_path: Path) -> None:
    images, clinical = oasis(tmp_path, "sub-OAS30001_ses-d0129_T1w.nii.gz")
    catalog([images], tmp_path / "out.csv", oasis3=clinical)
    assert ",48.87," in (tmp_path / "out.csv").read_text()


def test_oasis3_keeps_the_cognitively_normal_and_counts_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"sub-{name}_T1w.nii.gz" for name in ("OAS30001_ses-d0129", "OAS30003_ses-d0558")]
    images, clinical = oasis(tmp_path, *names, "sub-OAS30009_ses-d0001_T1w.nii.gz")
    with caplog.at_level(logging.WARNING):
        made = catalog([images], tmp_path / "out.csv", oasis3=clinical)
    assert [s.id for s in made] == ["OAS30001_d0129"]
    assert "1 of other diagnoses, 1 without a row in clinical.csv" in caplog.text
    assert "rows Cognitively normal without an image: 2" in caplog.text
    assert "rows that name no MR session: 1" in caplog.text


def test_oasis3_contrasts_are_told_apart(tmp_path: Path) -> None:
    names = [f"sub-OAS30001_ses-d0129_{contrast}.nii.gz" for contrast in ("T1w", "T2w")]
    images, clinical = oasis(tmp_path, *names)
    made = catalog([images], tmp_path / "out.csv", oasis3=clinical, modality="t2")
    assert [path.name for path in made[0].images.values()] == [names[1]]


def test_two_oasis3_images_of_one_run_are_refused(tmp_path: Path) -> None:
    names = [f"sub-OAS30001_ses-d0129_acq-{kind}_T1w.nii.gz" for kind in "ab"]
    images, clinical = oasis(tmp_path, *names)
    with pytest.raises(CohortError, match="are one run of OAS30001_d0129"):
        catalog([images], tmp_path / "out.csv", oasis3=clinical)


def test_no_oasis3_image_at_all_is_refused(tmp_path: Path) -> None:
    images, clinical = oasis(tmp_path, "other.nii.gz")
    with pytest.raises(CohortError, match="no subject is left"):
        catalog([images], tmp_path / "out.csv", oasis3=clinical)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("dx1,list1_id\nx,OAS30001_MR_d0129\n", "no column 'ageAtVisit'"),
        (CLINICAL.replace("48.87", "48 y"), "line 2: ageAtVisit '48 y' is no number"),
        (f"{CLINICAL}AD Dementia,OAS30001_MR_d0129,48.87\n", "line 7: another row says otherwise"),
    ],
)
def test_an_oasis3_table_that_is_wrong_says_where(tmp_path: Path, table: str, message: str) -> None:
    images, clinical = oasis(tmp_path, "sub-OAS30001_ses-d0129_T1w.nii.gz", clinical=table)
    with pytest.raises(CohortError, match=message):
        catalog([images], tmp_path / "out.csv", oasis3=clinical)
