"""Features are computed once, kept whole or computed again, and never silently wrong."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from brainweave.data.cohort import Cohort
from brainweave.data.grid import Spacing
from brainweave.data.phantom import write_phantoms
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors.base import Array, Extractor, Vector
from brainweave.evaluation.extractors.pca import Components
from brainweave.evaluation.scans import Scans, open_sides
from brainweave.evaluation.store import features, fitted
from brainweave.progress import Reporter

QUIET = Reporter(quiet=True)


class Counting(Extractor):
    """Mean and maximum; counts what it is shown."""

    name = "counting"
    dimension = 2

    def __init__(self, version: int = 1) -> None:
        self.preprocessing = {"version": version}
        self.seen = 0

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        self.seen += 1
        return np.array([volume.mean(), volume.max()], dtype=np.float64)


class Returning(Counting):
    """Whatever it is told to return."""

    def __init__(self, *vectors: list[float], dimension: int = 2) -> None:
        super().__init__()
        self.vectors, self.dimension = list(vectors), dimension

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        return np.array(self.vectors.pop(0))


class Refusing(Counting):
    """Refuses every volume."""

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        raise EvaluationError("this is a pumpkin")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    table = write_phantoms(tmp_path_factory.mktemp("p"), 5, shape=(16, 20, 16), spacing=10.0)
    return open_sides({"real": Cohort.open(table)})[0]["real"]


def found(extractor: Extractor, scans: Scans, folder: Path | None) -> np.ndarray:
    return features(extractor, scans, folder=folder, reporter=QUIET)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_features_are_the_extractor_s_in_order(scans: Scans, tmp_path: Path) -> None:
    expected = [Counting()(volume, scans.spacing) for volume in scans.volumes()]
    np.testing.assert_array_equal(found(Counting(), scans, tmp_path), expected)


def test_a_second_run_reads_no_volume(
    scans: Scans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = found(Counting(), scans, tmp_path)
    monkeypatch.setattr(Scans, "load", lambda *_: pytest.fail("a volume was read"))
    np.testing.assert_array_equal(found(Counting(), scans, tmp_path), first)


def test_only_new_volumes_are_described(scans: Scans, tmp_path: Path) -> None:
    found(Counting(), scans.take([0, 1]), tmp_path)
    later = Counting()
    found(later, scans, tmp_path)
    assert later.seen == 3


def test_another_digest_is_described_anew(scans: Scans, tmp_path: Path) -> None:
    found(Counting(), scans, tmp_path)
    later = Counting(version=2)
    found(later, scans, tmp_path)
    assert later.seen == 5


def test_another_way_of_reading_is_described_anew(scans: Scans, tmp_path: Path) -> None:
    found(Counting(), scans, tmp_path)
    cohort = Cohort(scans.subjects)
    cropped = open_sides({"real": cohort}, shape=(12, 12, 12))[0]["real"]
    later = Counting()
    found(later, cropped, tmp_path)
    assert later.seen == 5


def test_equal_files_are_described_once(scans: Scans) -> None:
    extractor = Counting()
    rows = found(extractor, scans.take([0, 1, 0, 0]), None)
    assert extractor.seen == 2
    np.testing.assert_array_equal(rows[0], rows[3])


@pytest.mark.parametrize("keep", [0, 40])
def test_a_file_cut_short_is_computed_again(keep: int, scans: Scans, tmp_path: Path) -> None:
    first = found(Counting(), scans, tmp_path)
    broken = files(tmp_path)[2]
    broken.write_bytes(broken.read_bytes()[:keep])
    later = Counting()
    np.testing.assert_array_equal(found(later, scans, tmp_path), first)
    assert later.seen == 1


def test_a_flipped_bit_is_found_and_mended(scans: Scans, tmp_path: Path) -> None:
    first = found(Counting(), scans, tmp_path)
    broken = files(tmp_path)[0]
    raw = bytearray(broken.read_bytes())
    raw[-3] ^= 4
    broken.write_bytes(bytes(raw))
    np.testing.assert_array_equal(found(Counting(), scans, tmp_path), first)
    last = Counting()
    found(last, scans, tmp_path)
    assert last.seen == 0


def test_no_folder_keeps_nothing(scans: Scans) -> None:
    extractor = Counting()
    found(extractor, scans, None)
    found(extractor, scans, None)
    assert extractor.seen == 10


def test_a_folder_that_cannot_be_written_costs_only_time(scans: Scans, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert found(Counting(), scans, tmp_path / "taken").shape == (5, 2)


def test_features_that_are_not_finite_name_the_subject(scans: Scans, tmp_path: Path) -> None:
    extractor = Returning([1.0, 2.0], [1.0, float("nan")])
    with pytest.raises(EvaluationError, match=f"{scans[1].id}.*1 of 2 counting features"):
        found(extractor, scans, tmp_path)
    assert len(files(tmp_path)) == 1


def test_a_volume_that_is_refused_is_named(scans: Scans) -> None:
    with pytest.raises(EvaluationError, match=f"real, subject '{scans[0].id}'.*pumpkin"):
        found(Refusing(), scans, None)


def test_a_wrong_number_of_features_is_refused(scans: Scans) -> None:
    with pytest.raises(EvaluationError, match="3 counting features instead of 2"):
        found(Returning([1.0, 2.0, 3.0]), scans, None)


def test_unequal_numbers_of_features_are_refused(scans: Scans) -> None:
    extractor = Returning([1.0], [1.0, 2.0], dimension=0)
    with pytest.raises(EvaluationError, match=f"2 features for real, subject '{scans[1].id}'"):
        found(extractor, scans.take([0, 1]), None)


def test_no_scans_are_refused(scans: Scans) -> None:
    with pytest.raises(EvaluationError, match="no scans"):
        found(Counting(), scans.take([]), None)


def test_a_fit_is_kept(scans: Scans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted(Components(), scans, folder=tmp_path, reporter=QUIET)
    monkeypatch.setattr(Scans, "load", lambda *_: pytest.fail("a volume was read"))
    again = fitted(Components(), scans, folder=tmp_path, reporter=QUIET)
    assert again.digest == first.digest


def test_another_cohort_is_another_fit(scans: Scans, tmp_path: Path) -> None:
    first = fitted(Components(), scans, folder=tmp_path, reporter=QUIET)
    fewer = fitted(Components(), scans.take([0, 1, 2, 3]), folder=tmp_path, reporter=QUIET)
    assert fewer.digest != first.digest


def test_a_broken_fit_is_made_again(scans: Scans, tmp_path: Path) -> None:
    first = fitted(Components(), scans, folder=tmp_path, reporter=QUIET)
    files(tmp_path)[0].write_bytes(b"")
    assert fitted(Components(), scans, folder=tmp_path, reporter=QUIET).digest == first.digest


def test_what_needs_no_fit_stays_as_it_is(scans: Scans, tmp_path: Path) -> None:
    class Never(Counting):
        def fitted(self, volumes: Iterable[Array], spacing: Spacing) -> Extractor:
            raise AssertionError

    extractor = Never()
    assert fitted(extractor, scans, folder=tmp_path, reporter=QUIET) is extractor


def test_progress_counts_what_was_known(
    scans: Scans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int]] = []
    reporter = Reporter(quiet=True)
    monkeypatch.setattr(reporter, "start", lambda *facts: told.append(facts))
    monkeypatch.setattr(reporter, "advance", lambda *_: None)
    features(Counting(), scans.take([0, 1]), folder=tmp_path, reporter=QUIET)
    features(Counting(), scans, folder=tmp_path, reporter=reporter)
    assert told == [("counting features, real", 5, 2)]
