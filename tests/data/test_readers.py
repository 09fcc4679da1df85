"""Cohorts from tables, and what is taken for a cohort at a path. No image is opened here."""

import math
from pathlib import Path

import pytest

from brainweave.data.cohort import Cohort
from brainweave.data.readers import open_cohort
from brainweave.errors import CohortError


def table(folder: Path, text: str, name: str = "cohort.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())
    return folder / name


def read(folder: Path, text: str, name: str = "table.csv") -> Cohort:
    return Cohort.from_csv(table(folder.resolve(), text, name))


def test_our_table_has_ids_covariates_and_images(tmp_path: Path) -> None:
    cohort = read(tmp_path, "id,Age,gender,site,T1,split\na,46.71,m,IXI,x/a.nii.gz,train\n")
    subject = cohort[0]
    assert (subject.id, subject.subject, subject.split) == ("a", "a", "train")
    assert subject.covariates == {"age": 46.71, "sex": "M", "site": "IXI"}
    assert subject.images == {"t1w": tmp_path.resolve() / "x" / "a.nii.gz"}


def test_our_table_may_name_persons_and_sessions(tmp_path: Path) -> None:
    cohort = read(tmp_path, "id,subject,session,t1\na1,a,1,1.nii\na2,a,2,2.nii\nb,n/a,,3.nii\n")
    assert [(s.subject, s.session) for s in cohort] == [("a", "1"), ("a", "2"), ("b", None)]


def test_flowlets_table_is_t1w_with_its_covariates(tmp_path: Path) -> None:
    cohort = read(tmp_path, "SubjectID,FilePath,Age,Condition\nO1,/data/a.nii.gz,48.87,CN\n")
    assert cohort[0].covariates == {"age": 48.87, "condition": "CN"}
    assert cohort[0].images == {"t1w": Path("/data/a.nii.gz")}


def test_flowlets_repeated_person_has_an_id_per_scan(tmp_path: Path) -> None:
    rows = "O1,d/run1.nii.gz,48\nO1,d/run2.nii.gz,48\nO2,d/run1.nii.gz,50\n"
    cohort = read(tmp_path, f"SubjectID,FilePath,Age\n{rows}")
    assert [(s.id, s.subject) for s in cohort] == [
        ("O1_run1", "O1"),
        ("O1_run2", "O1"),
        ("O2", "O2"),
    ]


def test_flowlets_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    cohort = read(tmp_path, "SubjectID,FilePath\nO1,d1/t.nii\nO1,d2/t.nii\n")
    assert [s.id for s in cohort] == ["O1_t_d1", "O1_t_d2"]


def test_a_column_whose_values_are_images_is_a_modality(tmp_path: Path) -> None:
    cohort = read(tmp_path, "id,dwi,note\na,a.nii.gz,fine\nb,n/a,see a.nii.gz\n")
    assert (cohort.modalities, cohort.covariates) == (("dwi",), ("note",))


def test_a_modality_column_may_lack_an_image(tmp_path: Path) -> None:
    assert not read(tmp_path, "id,t1,labels\na,a.nii,\n")[0].images.get("labels")


def test_a_column_named_pd_that_holds_numbers_is_a_covariate(tmp_path: Path) -> None:
    assert read(tmp_path, "id,t1,pd\na,a.nii,1\nb,b.nii,0\n").covariates == ("pd",)


@pytest.mark.parametrize("header", ["id,t1,T1w", "id,t1n,t1"])
def test_two_columns_of_one_contrast_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(CohortError, match="are all 't1w'"):
        read(tmp_path, f"{header}\na,x.nii,y.nii\n")


@pytest.mark.parametrize("header", ["id,t1,Age,age", "id,t1,sex,Gender"])
def test_two_columns_of_one_covariate_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(CohortError, match=r"are all '(age|sex)'"):
        read(tmp_path, f"{header}\na,x.nii,1,2\n")


@pytest.mark.parametrize("gap", ["", "n/a", "N/A", "nan", "NaN", "NA", " "])
def test_what_is_missing_does_not_stop_numbers_from_being_numbers(tmp_path: Path, gap: str) -> None:
    cohort = read(tmp_path, f"id,age,t1\na,{gap},a.nii\nb,65,b.nii\n")
    assert math.isnan(float(cohort[0].covariates["age"]))


def test_one_text_makes_a_column_text(tmp_path: Path) -> None:
    cohort = read(tmp_path, "id,age,t1\na,30,a.nii\nb,60-65,b.nii\n")
    assert [s.covariates["age"] for s in cohort] == ["30", "60-65"]


def test_sex_has_one_spelling(tmp_path: Path) -> None:
    rows = "".join(f"{i},{sex},x.nii\n" for i, sex in enumerate(("m", "Male", "F", "female", "o")))
    cohort = read(tmp_path, f"id,sex,t1\n{rows}")
    assert [s.covariates["sex"] for s in cohort] == ["M", "M", "F", "F", "o"]


def test_sex_as_a_number_stays_a_number(tmp_path: Path) -> None:
    assert read(tmp_path, "id,sex,t1\na,1,a.nii\n")[0].covariates["sex"] == 1.0


def test_a_byte_order_mark_carriage_returns_and_blank_lines_are_no_content(tmp_path: Path) -> None:
    text = "\ufeffid,age,t1,\r\n\r\na,65,a.nii,\r\n,,,\r\n\r\n"
    cohort = read(tmp_path, text)
    assert [(s.id, dict(s.covariates)) for s in cohort] == [("a", {"age": 65.0})]


def test_a_tsv_is_separated_by_tabs(tmp_path: Path) -> None:
    cohort = read(tmp_path, "id\tsite\tt1\na\tx, y\ta.nii\n", "table.tsv")
    assert cohort[0].covariates["site"] == "x, y"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,age,t1\na,1,x.nii\nb,2\n", "line 3: 2 fields where the header has 3"),
        ("id,age,t1\n\na,1,x.nii,9\n", "line 3: 4 fields"),
        ("", "the table is empty"),
        ("id,,t1\na,5,x.nii\n", "column 2 has values but no name"),
        ("id,age,age,t1\na,5,5,x.nii\n", "2 columns are named 'age'"),
        ("name,t1\na,x.nii\n", "no column 'id'"),
        ("id;t1\na;x.nii\n", "no column 'id'.*; columns are id;t1"),
        ("id,age\na,65\n", "no column of images"),
        ("id,t1\nn/a,x.nii\n", "line 2: no id"),
        ("SubjectID,FilePath\n,x.nii\n", "line 2: no SubjectID"),
        ('id,t1\n"a,x.nii\n', "not readable as a table"),
    ],
)
def test_a_table_that_is_wrong_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read(tmp_path, text)


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"id,t1\n\xff\xfe,x.nii\n")
    with pytest.raises(CohortError, match="UTF-8"):
        Cohort.open(tmp_path / "table.csv")


@pytest.mark.parametrize("name", ["cohort.csv", "participants.csv"])
def test_a_folder_with_a_table_of_images_opens_it(tmp_path: Path, name: str) -> None:
    table(tmp_path, "id,t1\na,a.nii\n", name)
    assert [s.id for s in Cohort.open(tmp_path)] == ["a"]


def test_a_table_of_participants_without_images_is_passed_over(tmp_path: Path) -> None:
    table(tmp_path, "id,age\na,65\n", "participants.csv")
    (tmp_path / "x_AGE_65.nii").touch()
    assert [s.id for s in Cohort.open(tmp_path)] == ["x_AGE_65"]


def test_a_folder_of_subjects_opens_as_bids(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz").touch()
    assert Cohort.open(tmp_path) == Cohort.from_bids(tmp_path)


def test_a_table_of_bids_participants_opens_its_dataset(tmp_path: Path) -> None:
    participants = table(tmp_path, "participant_id\tage\nsub-01\t30\n", "participants.tsv")
    (tmp_path / "sub-01_T1w.nii.gz").touch()
    assert Cohort.open(participants)[0].covariates == {"age": 30.0}


def test_any_other_folder_opens_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "x_AGE_65.nii").touch()
    assert Cohort.open(str(tmp_path))[0].covariates == {"age": 65.0}


@pytest.mark.parametrize("name", ["gone", "weights.bin"])
def test_what_is_no_cohort_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "weights.bin").touch()
    with pytest.raises(CohortError, match=f"{name} (does not exist|is neither a table)"):
        Cohort.open(tmp_path / name)


def test_a_table_can_be_narrowed_by_the_values_of_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text("id,split,sex,t1\na,val,F,a.nii\nb,val,M,b.nii\nc,train,F,c.nii\n")
    assert [s.id for s in Cohort.open(f"{table}:split=val,sex=F")] == ["a"]


@pytest.mark.parametrize("words", ["split=test", "sort=val", "split=val,sex"])
def test_a_selection_of_nobody_or_of_no_column_is_refused(tmp_path: Path, words: str) -> None:
    table = tmp_path / "cohort.csv"
    table.write_text("id,split,sex,t1\na,val,F,a.nii\n")
    with pytest.raises(CohortError, match=r"nobody|no column|not read"):
        Cohort.open(f"{table}:{words}")


def test_what_generate_made_is_a_cohort_whose_persons_are_seeds(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tfile\tseed\tsynthetic\tage\n"
        "age-30\tage-30_T1w.nii.gz\t7\t1\t30\nage-70\tage-70_T1w.nii.gz\t7\t1\t70\n"
    )
    cohort = Cohort.open(tmp_path)
    assert [s.covariates["age"] for s in cohort] == [30, 70]
    assert {s.subject for s in cohort} == {"seed-7"}
    assert cohort[0].images["t1w"].name == "age-30_T1w.nii.gz"


def test_names_without_ages_are_a_cohort_where_ages_are_not_needed(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").touch()
    assert "age" not in open_cohort(tmp_path, ages=False)[0].covariates
    with pytest.raises(CohortError, match="no age"):
        open_cohort(tmp_path)
