"""Subjects and cohorts: names, types, selection, checks, the way to CSV and back."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.errors import CohortError, OutputError


def image(path: Path, shape: tuple[int, int, int] = (4, 5, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones(shape, np.float32), np.diag([2.0, 2, 2, 1])), path)
    return path


def people(folder: Path, count: int = 3) -> list[Subject]:
    return [
        Subject(
            id=f"s{index}",
            images={"t1w": image(folder / f"s{index}.nii.gz")},
            covariates={"age": 20.5 + index, "sex": "MF"[index % 2]},
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("t1", "T1", "T1w", "t1w", "t1n"), "t1w"),
        (("t1ce", "t1gd", "t1Gd", "t1c"), "t1c"),
        (("t2", "T2w", "t2w"), "t2w"),
        (("flair", "FLAIR", "t2f"), "flair"),
        (("Seg", "seg"), "seg"),
    ],
)
def test_all_spellings_of_a_contrast_have_one_name(names: tuple[str, ...], expected: str) -> None:
    assert {canonical_modality(name) for name in names} == {expected}


def test_a_scan_without_a_person_is_its_own_person() -> None:
    assert Subject("a").subject == "a"


def test_a_subject_with_two_images_of_one_contrast_is_refused() -> None:
    with pytest.raises(CohortError, match="'a': two of t1, T1w mean the same"):
        Subject("a", images={"t1": Path("x.nii"), "T1w": Path("y.nii")})


def test_a_covariate_cannot_take_the_name_of_a_field() -> None:
    with pytest.raises(CohortError, match="'split' is no name for a covariate"):
        Subject("a", covariates={"Split": "train"})


def test_a_number_that_somebody_lacks_is_nan() -> None:
    cohort = Cohort([Subject("a", covariates={"age": 30.0}), Subject("b")])
    assert math.isnan(float(cohort[1].covariates["age"]))


def test_a_text_that_somebody_lacks_is_absent() -> None:
    cohort = Cohort([Subject("a", covariates={"site": "x"}), Subject("b", covariates={"site": ""})])
    assert "site" not in cohort[1].covariates


def test_a_covariate_with_one_text_is_text_for_everybody() -> None:
    ages: list[float | str] = [30.0, 48.87, ">89"]
    cohort = Cohort(Subject(str(i), covariates={"age": age}) for i, age in enumerate(ages))
    assert [s.covariates["age"] for s in cohort] == ["30", "48.87", ">89"]


def test_a_slice_of_a_cohort_is_a_cohort() -> None:
    assert Cohort([Subject("a"), Subject("b")])[1:] == Cohort([Subject("b")])


def test_select_compares_texts_and_numbers() -> None:
    rows = [("a", 30.0, "M"), ("b", 31.5, "F"), ("c", 31.5, "M")]
    cohort = Cohort(Subject(i, covariates={"age": age, "sex": sex}) for i, age, sex in rows)
    assert [s.id for s in cohort.select(age="31.50", sex="male")] == ["c"]


def test_select_finds_a_split() -> None:
    cohort = Cohort([Subject("a", split="train"), Subject("b", split="val"), Subject("c")])
    assert [s.id for s in cohort.select(split="val")] == ["b"]


def test_select_none_finds_what_is_missing() -> None:
    cohort = Cohort([Subject("a", covariates={"age": 30.0}), Subject("b")])
    assert [s.id for s in cohort.select(age=None)] == ["b"]


def test_select_of_an_unknown_column_names_the_nearest() -> None:
    cohort = Cohort([Subject("a", covariates={"group": "depr"})], "table.csv")
    with pytest.raises(CohortError, match=r"table\.csv: no column 'grop'; did you mean 'group'"):
        cohort.select(grop="depr")


def test_check_accepts_a_sound_cohort_with_some_values_missing(tmp_path: Path) -> None:
    cohort = Cohort([*people(tmp_path), Subject("x", images={"t1": image(tmp_path / "x.nii")})])
    assert cohort.check("T1w", ranges={"age": (20.5, 22.5)}, categories={"sex": ("M", "F")}) is None


def test_check_names_a_subject_without_the_modality(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="subject 's0' has no 'flair', it has t1w; and 2 more"):
        Cohort(people(tmp_path)).check("flair")


def test_check_names_a_file_that_does_not_exist(tmp_path: Path) -> None:
    cohort = Cohort([Subject("a", images={"t1w": tmp_path / "gone.nii.gz"})])
    with pytest.raises(CohortError, match=r"subject 'a': t1w file .*gone\.nii\.gz does not exist"):
        cohort.check("t1w")


def test_check_names_subject_and_file_of_an_unreadable_header(tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no NIfTI")
    with pytest.raises(CohortError, match=r"subject 'a': .*broken\.nii\.gz"):
        Cohort([Subject("a", images={"t1w": broken})]).check("t1w")


def test_check_names_a_value_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"subject 's2' \(.*s2.*\) has age 22\.5, outside 20"):
        Cohort(people(tmp_path)).check("t1w", ranges={"age": (20.0, 22.0)})


def test_check_names_a_value_that_is_no_number(tmp_path: Path) -> None:
    odd = Subject("x", images={"t1w": image(tmp_path / "x.nii")}, covariates={"age": "65,3"})
    with pytest.raises(CohortError, match=r"subject 'x' .*has age '65,3', which is no number$"):
        Cohort([*people(tmp_path), odd]).check("t1w", ranges={"age": (20.0, 90.0)})


def test_check_names_a_value_of_no_category(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"subject 's1' \(.*s1.*\) has sex 'F', none of M$"):
        Cohort(people(tmp_path)).check("t1w", categories={"sex": ("M",)})


def test_check_takes_categories_that_are_numbers(tmp_path: Path) -> None:
    subject = Subject("a", images={"t1": image(tmp_path / "a.nii")}, covariates={"scanner": 2.0})
    assert Cohort([subject]).check("t1", categories={"scanner": ("1", "2")}) is None


def test_check_refuses_a_covariate_that_everybody_lacks(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no subject has a value for 'agge'; did you mean 'age'"):
        Cohort(people(tmp_path)).check("t1w", ranges={"agge": (0.0, 100.0)})


def test_check_refuses_an_id_used_twice(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="id 's0' is used 2 times"):
        Cohort([*people(tmp_path), *people(tmp_path, 1)]).check("t1w")


def test_check_refuses_an_empty_cohort() -> None:
    with pytest.raises(CohortError, match="empty"):
        Cohort([]).check("t1w")


def test_check_stops_at_ten_problems() -> None:
    with pytest.raises(CohortError, match=r"and at least 9 more$"):
        Cohort(Subject(str(index)) for index in range(30)).check("t1w")


def test_check_says_all_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CohortError) as caught:
        Cohort(people(tmp_path)).check("flair", ranges={"age": (0.0, 1.0)})
    assert "\n" not in str(caught.value)


def test_grids_are_by_id(tmp_path: Path) -> None:
    big = Subject("big", images={"t1w": image(tmp_path / "big.nii", (7, 8, 9))})
    grids = Cohort([*people(tmp_path, 1), big]).grids("t1")
    assert {name: grid.shape for name, grid in grids.items()} == {"s0": (4, 5, 6), "big": (7, 8, 9)}


@pytest.mark.parametrize("name", ["cohort.csv", "cohort.tsv", "deeper/cohort.csv"])
def test_a_written_cohort_reads_back_equal(tmp_path: Path, name: str) -> None:
    root = tmp_path.resolve()
    cohort = Cohort(
        [
            Subject(
                id="a_1",
                subject="a",
                session="1",
                images={"t1w": root / "a 1.nii.gz", "seg": root / "seg, a.nii.gz"},
                covariates={"age": 48.87, "sex": "F", "site": 'the "old", one'},
                split="train",
            ),
            Subject("a_2", "a", "2", {"flair": root.parent / "x.nii"}, {"age": 1 / 3}),
            Subject("b", covariates={"age": 65.0, "icd-10": "F32.1"}, split="val"),
        ]
    )
    cohort.to_csv(root / name)
    assert Cohort.from_csv(root / name) == cohort


def test_numbers_are_written_as_short_as_they_are(tmp_path: Path) -> None:
    ages = [48.87, 65.0, math.nan]
    cohort = Cohort(Subject(str(i), covariates={"age": age}) for i, age in enumerate(ages))
    cohort.to_csv(tmp_path / "cohort.csv")
    rows = (tmp_path / "cohort.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows] == ["age", "48.87", "65", "n/a"]


def test_a_written_cohort_moves_with_its_images(tmp_path: Path) -> None:
    Cohort(people(tmp_path / "here")).to_csv(tmp_path / "here" / "cohort.csv")
    (tmp_path / "here").rename(tmp_path / "there")
    assert Cohort.from_csv(tmp_path / "there" / "cohort.csv").check("t1w") is None


def test_paths_hold_where_the_table_lies_behind_a_link(tmp_path: Path) -> None:
    cohort = Cohort(people(tmp_path / "images"))
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    cohort.to_csv(tmp_path / "link" / "cohort.csv")
    assert Cohort.from_csv(tmp_path / "link" / "cohort.csv").check("t1w") is None


def test_a_cohort_is_written_under_no_other_extension(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.csv or \.tsv"):
        Cohort([Subject("a")]).to_csv(tmp_path / "cohort.txt")


@pytest.mark.parametrize("known", [("f", "m"), ("F", "M", "X")])
def test_check_takes_categories_in_upper_and_lower_case(
    tmp_path: Path, known: tuple[str, ...]
) -> None:
    Cohort(people(tmp_path)).check("t1w", categories={"sex": known})
