"""Tables in the layouts of others: their rows, their numbers, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judging import changed, known, labelled, remade, settled

from brainweave.data.cohort import Cohort
from brainweave.errors import EvaluationError
from brainweave.evaluation.bench import Bench
from brainweave.evaluation.distribution import frechet
from brainweave.evaluation.priors import build_priors
from brainweave.evaluation.published import published


def cells(table: str) -> dict[str, list[str]]:
    """The rows of all tables in markdown, by their first cell."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.fixture(scope="module")
def one(bench: Bench) -> Bench:
    """The bench with one feature space."""
    return replace(bench, spaces=bench.spaces[:1])


def test_the_slides_compare_real_halves_and_made(one: Bench) -> None:
    found = cells(published("slides", one, bootstrap=(10, 5)))
    assert {"real-real(other)", "real-generated"} <= set(found)
    assert "real-recon" not in found
    assert found["real-generated"][0] == "10"


def test_draws_are_no_larger_than_a_side(one: Bench) -> None:
    found = published("slides", one, bootstrap=(200, 5))
    assert cells(found)["real-real(other)"][0] == "20"
    assert "5 draws" in found


def test_the_features_are_named_with_their_hash(one: Bench) -> None:
    assert f"wavelet ({one.spaces[0].digest[:12]})" in published("slides", one, bootstrap=(10, 2))


def test_another_bootstrap_is_another_table(one: Bench) -> None:
    assert published("slides", one, bootstrap=(10, 5)) != published(
        "slides", one, bootstrap=(12, 5)
    )


def test_reconstructions_get_their_row_and_their_similarity(
    one: Bench, kept: Path, tmp_path: Path
) -> None:
    recon = changed(one.real.subjects, tmp_path, lambda data: 0.98 * data)
    found = cells(published("slides", remade(one, kept, recon=recon), bootstrap=(10, 3)))
    assert float(found["real-recon"][1].split()[0]) < float(found["real-generated"][1].split()[0])
    psnr, ssim = found["recon"][-2:]
    assert float(psnr.split()[0]) > 30
    assert float(ssim.split()[0]) > 0.95


def test_exact_reconstructions_have_no_psnr(one: Bench, kept: Path) -> None:
    exact = remade(one, kept, recon=one.real.subjects)
    found = published("slides", exact, bootstrap=(10, 3))
    assert abs(float(cells(found)["real-recon"][1].split()[0])) < 1e-9
    assert cells(found)["recon"] == ["1.0000 ± 0.0000"]
    assert "inf" not in found


def test_medmetrics_fid_is_that_of_raw_features(one: Bench) -> None:
    found = cells(published("medmetric", one))["made"]
    vectors = one.spaces[0].vectors
    assert float(found[0]) == pytest.approx(frechet(vectors["real"], vectors["made"]), rel=1e-5)
    assert 0 < float(found[2]) < 1


def test_flowlets_table_takes_label_maps_of_both_sides(one: Bench, tmp_path: Path) -> None:
    sides = {n: labelled(one.sides[n].subjects[:4], tmp_path / n) for n in ("real", "made")}
    found = published("flowlet", remade(settled(one, features=()), **sides, train=None))
    assert "Dice" in found
    assert "81" in found or "White" in found


def test_flowlets_table_finds_regions_by_priors(one: Bench, tmp_path: Path) -> None:
    priors = build_priors(Cohort(labelled(one.real.subjects[:6], tmp_path)), regions="muse")
    few = {n: one.sides[n].subjects[:3] for n in ("real", "made")}
    found = published(
        "flowlet", remade(settled(one, features=(), priors=priors), **few, train=None)
    )
    assert "Dice" in found


def test_flowlets_table_without_labels_says_what_it_needs(one: Bench) -> None:
    with pytest.raises(EvaluationError, match="a column `labels` in both cohorts, or --priors"):
        published("flowlet", one)


def test_flowlets_pairs_need_ages(one: Bench) -> None:
    bare = remade(settled(one, features=()), made=known(one.made.subjects, age=[None] * 40))
    with pytest.raises(EvaluationError, match="nobody has an age on one side"):
        published("flowlet", bare)


def test_layouts_that_there_are_are_named(one: Bench) -> None:
    with pytest.raises(EvaluationError, match="no layout 'wfdm'; there are slides, medmetric"):
        published("wfdm", one)


def test_the_same_seed_gives_the_same_table(one: Bench) -> None:
    again, other = settled(one), settled(one, seed=1)
    first = published("slides", one, bootstrap=(10, 3))
    assert first == published("slides", again, bootstrap=(10, 3))
    assert first != published("slides", other, bootstrap=(10, 3))
    assert np.isfinite(float(cells(first)["real-generated"][1].split()[0]))
