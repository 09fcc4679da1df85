"""Modalities taken away: the draws, the copies, and what is refused."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from brainweave.cli.preparing import app
from brainweave.data.brats import IMAGES, from_brats
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.drop import any_subset, drop, official
from brainweave.data.table import read_table
from brainweave.errors import CohortError, OutputError, RecipeError

SUFFIXES = ("t1n", "t1c", "t2w", "t2f", "seg")
# np.random.seed(123456), then np.random.randint(0, 4) 24 times: an MT19937 written from its paper,
# started by init_genrand(123456), gives the same as its 32-bit outputs & 3
STREAM = (1, 2, 2, 1, 0, 3, 3, 3, 3, 0, 3, 0, 0, 2, 2, 0, 3, 0, 3, 3, 2, 2, 2, 3)
CHALLENGE = ("t1c", "t1n", "t2f", "t2w")


def cases(root: Path, count: int, suffixes: tuple[str, ...] = SUFFIXES) -> Path:
    """Files of which each holds its own name."""
    for index in range(count):
        name = f"BraTS-GLI-{index:05d}-000"
        for suffix in suffixes:
            path = root / name / f"{name}-{suffix}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
    return root


def contents(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text() for path in files}


def listed(count: int) -> Cohort:
    images = {name: Path(f"{name}.nii") for name in IMAGES}
    return Cohort([Subject(id=f"case-{index:04d}", images=images) for index in range(count)])


def test_the_official_draw_is_numpys_legacy_stream_over_sorted_cases(tmp_path: Path) -> None:
    out = tmp_path / "out"
    drop(cases(tmp_path / "data", len(STREAM)), out)
    words = tuple(
        CHALLENGE.index(word) for word in read_table(out / "dropped.csv").column("dropped")
    )
    assert words == STREAM


def test_the_official_draw_goes_by_names_whatever_the_order() -> None:
    cohort = listed(20)
    assert official(cohort, 7) == official(Cohort(list(cohort)[::-1]), 7)


def test_another_seed_is_another_draw() -> None:
    assert official(listed(20), 1) != official(listed(20), 2)
    assert any_subset(listed(20), 1) != any_subset(listed(20), 2)


def test_copies_are_whole_but_for_what_was_drawn(tmp_path: Path) -> None:
    data = cases(tmp_path / "data", 3)
    drop(data, tmp_path / "out")
    missing = ("0-000-t1n", "1-000-t2f", "2-000-t2f")  # STREAM
    left = {
        name: text
        for name, text in contents(data).items()
        if not name.endswith((*(f"{word}.nii.gz" for word in missing), "seg.nii.gz"))
    }
    made = contents(tmp_path / "out")
    rows = "".join(f"BraTS-GLI-0000{word[:5]},{word[6:]}\n" for word in missing)
    assert made.pop("dropped.csv") == f"case,dropped\n{rows}"
    assert made == left


def test_label_maps_are_copied_when_asked_for(tmp_path: Path) -> None:
    drop(cases(tmp_path / "data", 2), tmp_path / "out", with_seg=True)
    assert all("seg" in s.images for s in from_brats(tmp_path / "out"))


def test_old_names_are_kept_and_listed(tmp_path: Path) -> None:
    for suffix in ("t1", "t1ce", "t2", "flair"):
        path = tmp_path / "data" / "HGG" / "Brats18_x" / f"Brats18_x_{suffix}.nii"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(suffix)
    drop(tmp_path / "data", tmp_path / "out")
    assert contents(tmp_path / "out") == {
        "Brats18_x/Brats18_x_flair.nii": "flair",
        "Brats18_x/Brats18_x_t1ce.nii": "t1ce",
        "Brats18_x/Brats18_x_t2.nii": "t2",
        "dropped.csv": "case,dropped\nBrats18_x,t1\n",
    }


def test_any_subset_leaves_one_and_takes_one_and_takes_all_fourteen() -> None:
    drawn = any_subset(listed(700), 3)
    sizes = Counter(len(dropped) for dropped in drawn.values())
    assert set(sizes) == {1, 2, 3}
    counts = Counter(drawn.values())
    assert len(counts) == 14
    assert min(counts.values()) > 25  # 50 on average, 6.8 standard deviation


def test_any_subset_of_a_case_does_not_depend_on_the_others() -> None:
    few, many = any_subset(listed(5), 3), any_subset(listed(50), 3)
    assert all(many[name] == dropped for name, dropped in few.items())


def test_any_subset_takes_only_from_what_is_there(tmp_path: Path) -> None:
    data = cases(tmp_path / "data", 12, ("t1n", "t2f"))
    dropped = drop(data, tmp_path / "out", subsets="any")
    assert set(dropped.values()) == {("t1w",), ("flair",)}


def test_the_same_command_writes_only_what_is_missing(tmp_path: Path) -> None:
    data, out = cases(tmp_path / "data", 4), tmp_path / "out"
    drop(data, out)
    whole = contents(out)
    kept = sorted(out.rglob("*.nii.gz"))
    kept.pop(0).unlink()
    (kept[0].parent / ".partial-1-x.nii.gz").touch()
    before = [path.stat().st_ino for path in kept]
    drop(data, out)
    assert contents(out) == whole
    assert [path.stat().st_ino for path in kept] == before


@pytest.mark.parametrize("other", [{"seed": 1}, {"subsets": "any"}])
def test_another_drop_into_the_same_folder_is_refused(
    tmp_path: Path, other: dict[str, object]
) -> None:
    data, out = cases(tmp_path / "data", 4), tmp_path / "out"
    drop(data, out)
    whole = contents(out)
    with pytest.raises(OutputError, match="that this command writes; choose an empty folder"):
        drop(data, out, **other)  # type: ignore[arg-type]
    assert contents(out) == whole


def test_a_drop_without_label_maps_is_not_one_with_them(tmp_path: Path) -> None:
    data, out = cases(tmp_path / "data", 2), tmp_path / "out"
    drop(data, out, with_seg=True)
    with pytest.raises(OutputError, match=r"-seg\.nii\.gz is none of the files"):
        drop(data, out)


def test_a_file_of_the_same_name_from_other_data_is_refused(tmp_path: Path) -> None:
    data, out = cases(tmp_path / "data", 2), tmp_path / "out"
    drop(data, out)
    next(out.rglob("*t1c.nii.gz")).write_text("another scan")
    with pytest.raises(OutputError, match=r"t1c\.nii\.gz differs from the one"):
        drop(data, out)


@pytest.mark.parametrize("place", ["", "inside", "inside/deeper", "../data"])
def test_nothing_is_written_into_the_data(tmp_path: Path, place: str) -> None:
    data = cases(tmp_path / "data", 2)
    whole = contents(data)
    with pytest.raises(OutputError, match="stays as it is; choose a folder elsewhere"):
        drop(data, data / place)
    assert contents(data) == whole


def test_a_link_into_the_data_is_the_data(tmp_path: Path) -> None:
    data = cases(tmp_path / "data", 2)
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(OutputError, match="stays as it is"):
        drop(data, tmp_path / "link" / "out")


def test_the_official_draw_needs_all_four(tmp_path: Path) -> None:
    data = cases(tmp_path / "data", 3)
    next((data / "BraTS-GLI-00001-000").glob("*t2f*")).unlink()
    with pytest.raises(CohortError, match="BraTS-GLI-00001-000 has no flair; the official draw"):
        drop(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_image_cannot_lose_one(tmp_path: Path) -> None:
    data = cases(tmp_path / "data", 1, ("t1n", "seg"))
    with pytest.raises(CohortError, match=r"BraTS-GLI-00000-000 has t1w of .*; two are needed"):
        drop(data, tmp_path / "out", subsets="any")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subsets": "offical"}, "--subsets offical is unknown; did you mean 'official'"),
        ({"seed": -1}, "--seed -1: a whole number from 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        drop(tmp_path, tmp_path / "out", **options)  # type: ignore[arg-type]


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "head.nii.gz").touch()
    with pytest.raises(CohortError, match="no file is named as in BraTS"):
        drop(tmp_path / "data", tmp_path / "out")


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="is a file; a folder is needed"):
        drop(cases(tmp_path / "data", 1), tmp_path / "out")


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    data = cases(tmp_path / "data", 1)
    lost = next(data.rglob("*t1c*"))
    lost.unlink()
    lost.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match=r"t1c\.nii\.gz is not written: .*No such file"):
        drop(data, tmp_path / "out")
    assert not list((tmp_path / "out").rglob(".partial*"))


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    data, out = cases(tmp_path / "data", 3), tmp_path / "out"
    result = CliRunner().invoke(app, ["drop", str(data), str(out)])
    assert result.exit_code == 0
    assert result.stdout == f"{out}: 3 cases without 3 volumes; dropped.csv says which\n"
    shutil.rmtree(out)
    again = CliRunner().invoke(app, ["drop", str(data), str(out), "--subsets", "any", "--with-seg"])
    assert again.exit_code == 0
    assert len(list(out.rglob("*-seg.nii.gz"))) == 3
