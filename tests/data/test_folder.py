"""Cohorts from file names. No image is opened here."""

from pathlib import Path

import pytest

from brainweave.data.cohort import Cohort
from brainweave.errors import CohortError


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("name", "age"),
    [
        ("x_AGE_65.3.nii.gz", 65.3),
        ("x_AGE_79.69_run-01.nii.gz", 79.69),
        ("x_AGE_67.nii.gz", 67.0),
        ("x_AGE_5.90.nii.gz", 5.9),
        ("x_AGE_67.nii", 67.0),
        ("x_age-65.3_T1w.nii.gz", 65.3),
        ("x-AGE-48.87-brain.nii.gz", 48.87),
        ("Baseline_AGE_50.00_sample_3.nii.gz", 50.0),
    ],
)
def test_an_age_in_a_name_is_read_to_its_last_digit(tmp_path: Path, name: str, age: float) -> None:
    assert Cohort.from_folder(folder(tmp_path, name))[0].covariates["age"] == age


@pytest.mark.parametrize("name", ["x_AGE_48_87_run-01.nii.gz", "x_AGE_48_87.nii.gz"])
def test_an_age_with_a_decimal_underscore_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CohortError, match=r"age 48 or 48\.87\?"):
        Cohort.from_folder(folder(tmp_path, name))


def test_files_without_an_age_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    folder(tmp_path, "a_AGE_6.nii", "b.nii.gz", "c_AGE_6months.nii", "d_STAGE_3.nii")
    with pytest.raises(CohortError, match=r"3 of 4 files have no age .* first is .*b\.nii\.gz"):
        Cohort.from_folder(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"no \.nii or \.nii\.gz file"):
        Cohort.from_folder(folder(tmp_path, "x_AGE_65.txt"))


def test_folders_are_searched_to_the_bottom(tmp_path: Path) -> None:
    cohort = Cohort.from_folder(folder(tmp_path, "a/b/x_AGE_65.nii", "y_AGE_66.nii"))
    assert [s.id for s in cohort] == ["x_AGE_65", "y_AGE_66"]


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    names = ("x_AGE_65.nii", "._x_AGE_65.nii", ".git/y_AGE_65.nii")
    assert len(Cohort.from_folder(folder(tmp_path, *names))) == 1


@pytest.mark.parametrize(
    ("name", "sex"),
    [("x_SEX_F_AGE_65.nii", "F"), ("x_AGE_65_sex-male.nii", "M"), ("x_AGE_65_sex-m.nii", "M")],
)
def test_sex_may_be_in_the_name(tmp_path: Path, name: str, sex: str) -> None:
    assert Cohort.from_folder(folder(tmp_path, name))[0].covariates["sex"] == sex


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("sub-01_ses-2_AGE_65.nii", "sub-01"),
        ("sub-01/scan_AGE_65.nii", "sub-01"),
        ("OAS30001_AGE_65_run-01.nii", "OAS30001"),
        ("PD_003_T1w_AGE_65.nii", "PD_003"),
    ],
)
def test_the_person_is_the_bids_label_or_what_precedes_the_age(
    tmp_path: Path, name: str, person: str
) -> None:
    assert Cohort.from_folder(folder(tmp_path, name))[0].subject == person


def test_a_session_label_is_read(tmp_path: Path) -> None:
    cohort = Cohort.from_folder(folder(tmp_path, "sub-01_ses-2_AGE_65.nii"))
    assert cohort[0].session == "ses-2"


def test_equal_names_in_two_folders_get_ids_of_their_own(tmp_path: Path) -> None:
    cohort = Cohort.from_folder(folder(tmp_path, "one/x_AGE_65.nii", "two/x_AGE_65.nii"))
    assert [s.id for s in cohort] == ["x_AGE_65_one", "x_AGE_65_two"]


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("x_AGE_65.nii", "t1w"),
        ("x_AGE_65_T2w.nii", "t2w"),
        ("x_FLAIR_AGE_65.nii", "flair"),
        ("FLAIR/x_AGE_65.nii", "flair"),
        ("x_AGE_65-t1c.nii", "t1c"),
        ("x_T1w_AGE_65_seg.nii", "seg"),
        ("x_t2_AGE_65.nii", "t1w"),
        ("CT_001_AGE_65.nii", "t1w"),
    ],
)
def test_a_name_may_say_its_contrast(tmp_path: Path, name: str, modality: str) -> None:
    assert list(Cohort.from_folder(folder(tmp_path, name))[0].images) == [modality]


def test_names_without_a_contrast_are_what_the_caller_says(tmp_path: Path) -> None:
    cohort = Cohort.from_folder(folder(tmp_path, "x_AGE_65.nii"), modality="T2w")
    assert cohort.modalities == ("t2w",)


def test_contrasts_of_one_scan_are_one_subject(tmp_path: Path) -> None:
    cohort = Cohort.from_folder(folder(tmp_path, "x_AGE_65_T1w.nii", "x_AGE_65_FLAIR.nii"))
    assert [(s.id, sorted(s.images)) for s in cohort] == [("x_AGE_65", ["flair", "t1w"])]


def test_one_scan_in_two_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="one t1w twice"):
        Cohort.from_folder(folder(tmp_path, "x_AGE_65.nii", "x_AGE_65.nii.gz"))
