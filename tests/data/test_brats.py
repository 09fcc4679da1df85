"""BraTS: what names say, which cases a folder has, what labels mean. No image is opened here."""

from pathlib import Path

import pytest

from brainweave.data.brats import (
    IMAGES,
    NAMINGS,
    BratsFile,
    Naming,
    convention,
    from_brats,
    is_brats,
    naming_of,
    parse,
)
from brainweave.data.cohort import Cohort
from brainweave.errors import CohortError

OLD = ("t1", "t1ce", "t2", "flair", "seg")
NEW = ("t1n", "t1c", "t2w", "t2f", "seg")
MODALITIES = ("t1w", "t1c", "t2w", "flair", "seg")
ROOT = Path(__file__).parents[3] / "shared" / "data"


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def case(folder: Path, name: str, suffixes: tuple[str, ...] = NEW, separator: str = "-") -> None:
    put(*(folder / name / f"{name}{separator}{suffix}.nii.gz" for suffix in suffixes))


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("Brats18_2013_3_1", "Brats18_2013_3_1_{}.nii.gz"),
        ("BraTS20_Training_001", "BraTS20_Training_001_{}.nii"),
        ("BraTS2021_00000", "BraTS2021_00000_{}.nii.gz"),
    ],
)
def test_names_until_2021_say_case_and_modality(name: str, of: str) -> None:
    found = [parse(Path("somewhere", of.format(suffix))) for suffix in OLD]
    assert [(f.case, f.modality) for f in found if f] == [(name, kind) for kind in MODALITIES]


@pytest.mark.parametrize("name", ["BraTS-GLI-00000-000", "BraTS-MET-00101-002", "UCSD-0002-01"])
def test_names_from_2023_say_case_and_modality_of_any_cohort(name: str) -> None:
    found = [parse(Path(f"{name}-{suffix}.nii.gz")) for suffix in NEW]
    assert [(f.case, f.modality) for f in found if f] == [(name, kind) for kind in MODALITIES]


@pytest.mark.parametrize(
    "name",
    [
        "BraTS-GLI-00000-000-t1n.json",
        "BraTS-GLI-00000-000-t1n-mask.nii.gz",
        "BraTS-GLI-00000-000-t1.nii.gz",
        "Brats18_x_t1n.nii.gz",
        "sub-01_t1.nii.gz",
        "-t1n.nii.gz",
        "._Brats18_x_t1.nii.gz",
        "missing_t1n.txt",
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    assert parse(Path(name)) is None
    assert naming_of(Path(name)) is None


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_name_that_is_made_is_parsed_back(naming: Naming, modality: str) -> None:
    file = parse(Path(naming.name("BraTS-GLI-00000-000", modality)))
    assert file == BratsFile("BraTS-GLI-00000-000", modality, naming)


def test_a_naming_keeps_the_extension_of_its_file() -> None:
    naming = naming_of(Path("BraTS20_Training_001_flair.nii"))
    assert naming is not None
    assert naming.name("BraTS20_Training_001", "t1c") == "BraTS20_Training_001_t1ce.nii"


def test_a_modality_without_a_name_is_refused() -> None:
    with pytest.raises(CohortError, match="x: BraTS names no 'ct'"):
        NAMINGS[0].name("x", "ct")


def test_cases_at_any_depth_are_sorted_with_their_images_in_one_order(tmp_path: Path) -> None:
    case(tmp_path / "LGG" / "deep", "Brats18_b", OLD, "_")
    case(tmp_path / "HGG", "Brats18_c", OLD[::-1], "_")
    case(tmp_path, "Brats18_a", OLD, "_")
    cohort = from_brats(tmp_path)
    assert [s.id for s in cohort] == ["Brats18_a", "Brats18_b", "Brats18_c"]
    assert all(tuple(s.images) == MODALITIES for s in cohort)
    assert cohort[1].images["t1c"].name == "Brats18_b_t1ce.nii.gz"


def test_cases_may_lie_flat_in_one_folder(tmp_path: Path) -> None:
    put(tmp_path / "x_t1.nii", tmp_path / "x_t2.nii", tmp_path / "y_t1.nii")
    found = [(s.id, tuple(s.images)) for s in from_brats(tmp_path)]
    assert found == [("x", ("t1w", "t2w")), ("y", ("t1w",))]


def test_a_case_may_lack_modalities(tmp_path: Path) -> None:
    case(tmp_path, "BraTS-GLI-00000-000", ("t2f", "t1n"))
    assert tuple(from_brats(tmp_path)[0].images) == ("t1w", "flair")


def test_visits_of_a_person_are_sessions(tmp_path: Path) -> None:
    names = ("BraTS-GLI-00005-000", "BraTS-GLI-00005-001", "BraTS-MEN-RT-0001-1")
    for name in names:
        case(tmp_path, name)
    assert [(s.id, s.subject, s.session) for s in from_brats(tmp_path)] == [
        (names[0], "BraTS-GLI-00005", "000"),
        (names[1], "BraTS-GLI-00005", "001"),
        (names[2], "BraTS-MEN-RT-0001", "1"),
    ]


@pytest.mark.parametrize("name", ["BraTS2021_00002", "TCGA-02-0001", "x-2020-01-05", "x-000"])
def test_other_numbers_are_no_visits(tmp_path: Path, name: str) -> None:
    case(tmp_path, name)
    assert [(s.subject, s.session) for s in from_brats(tmp_path)] == [(name, None)]


def test_tables_hidden_files_and_notes_are_ignored(tmp_path: Path) -> None:
    case(tmp_path, "BraTS-GLI-00000-000", ("t1n",))
    inside = tmp_path / "BraTS-GLI-00000-000"
    put(tmp_path / "survival_info.csv", inside / "missing_t1c.txt")
    put(inside / "._BraTS-GLI-00000-000-t1c.nii.gz", tmp_path / ".old" / "x-t1n.nii.gz")
    assert [tuple(s.images) for s in from_brats(tmp_path)] == [("t1w",)]


def test_other_images_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    case(tmp_path, "BraTS20_Training_355", OLD[:4], "_")
    put(tmp_path / "BraTS20_Training_355" / "W39_1998.09.19_Segm.nii")
    with caplog.at_level("INFO"):
        assert "seg" not in from_brats(tmp_path)[0].images
    assert "1 other images are not used" in caplog.text
    assert "W39_1998.09.19_Segm.nii" in caplog.text


@pytest.mark.parametrize("other", ["x/b/x-t1n.nii.gz", "x/x-t1n.nii", "x/x_t1.nii.gz"])
def test_two_files_of_one_modality_of_a_case_are_refused(tmp_path: Path, other: str) -> None:
    put(tmp_path / "x" / "x-t1n.nii.gz", tmp_path / other)
    with pytest.raises(CohortError, match=r"are both the t1w of x; remove one") as error:
        from_brats(tmp_path)
    assert "x-t1n.nii.gz" in str(error.value)
    assert Path(other).name in str(error.value)


def test_a_contrast_in_another_spelling_is_refused_beside_its_case(tmp_path: Path) -> None:
    put(tmp_path / "A_flair.nii.gz", tmp_path / "A_t1w.nii.gz", tmp_path / "B_pred.nii.gz")
    with pytest.raises(CohortError, match=r"A_t1w.nii.gz is not named .* rename it, as A_t1.nii"):
        from_brats(tmp_path)


def test_a_folder_without_cases_says_what_names_are_needed(tmp_path: Path) -> None:
    put(tmp_path / "head.nii.gz")
    with pytest.raises(CohortError, match=r"named as in BraTS, such as CASE_t1ce\.nii\.gz or CASE"):
        from_brats(tmp_path)
    with pytest.raises(CohortError, match="is no folder"):
        from_brats(tmp_path / "nowhere")


def test_a_folder_of_cases_is_opened_as_brats(tmp_path: Path) -> None:
    case(tmp_path, "BraTS-GLI-00005-001", ("t1n",))
    put(tmp_path / "template.nii.gz")
    assert Cohort.open(tmp_path) == Cohort.from_brats(tmp_path)


def test_cases_of_any_name_are_brats_by_their_contrasts(tmp_path: Path) -> None:
    put(tmp_path / "a_t1.nii.gz", tmp_path / "a_flair.nii.gz", tmp_path / "b_t1.nii.gz")
    assert is_brats(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("BraTS_AGE_65_t1.nii.gz", "BraTS_AGE_65_flair.nii.gz"),
        ("a_t1.nii.gz", "b_t1.nii.gz"),
        ("a_t1.nii.gz", "a_flair.nii.gz", "b.nii.gz"),
        ("a.nii.gz", "a_seg.nii.gz"),
        ("sub-01_t1.nii.gz", "sub-01_flair.nii.gz"),
    ],
)
def test_other_folders_are_not_brats(tmp_path: Path, names: tuple[str, ...]) -> None:
    put(*(tmp_path / name for name in names))
    assert not is_brats(tmp_path)


@pytest.mark.parametrize(
    ("labels", "found"),
    [((0, 1, 2, 4), "2018"), ((0, 1, 2, 3), "2023"), ((0, 3.0), "2023"), ((0, 1, 2), None)],
)
def test_a_convention_is_known_by_its_enhancing_tumour(
    labels: tuple[int | float, ...], found: str | None
) -> None:
    assert convention(labels) == found


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((1, 3, 4), "labels 3 and 4 occur together"),
        ((0, 1, 5, 7), "labels 5, 7 are none of BraTS"),
        ((0, 0.5), r"labels 0\.5 are none"),
    ],
)
def test_labels_of_no_convention_are_refused(labels: tuple[int | float, ...], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        convention(labels)


@pytest.mark.parametrize(("folder", "cases"), [("brats_2mm", 13), ("brats_fullres", 1)])
def test_real_cases_are_read_whole(folder: str, cases: int) -> None:
    if not (ROOT / folder).is_dir():
        pytest.skip("the data are not here")
    cohort = Cohort.open(ROOT / folder)
    assert len(cohort) == cases
    assert all(tuple(s.images) == (*IMAGES, "seg") for s in cohort)
    cohort.check("flair")
