"""Tables of others: their protocol and their numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from brainweave.errors import EvaluationError
from brainweave.evaluation.layouts import (
    Medmetric,
    medmetric,
    medmetric_table,
    reconstructions,
    slides,
)

# written by benchmarks/evaluation_references.py with medmetric 0.1.1
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "distribution.json").read_text())


def vectors(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 6))


def cells(table: str, row: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"seed{case['seed']}")
def test_fid_and_mmd_equal_medmetric(case: dict) -> None:
    random = np.random.default_rng(case["seed"])
    deviations = np.arange(1, case["d"] + 1) ** -0.5
    real = random.standard_normal((case["n"], case["d"])) * deviations
    made = random.standard_normal((case["m"], case["d"])) * deviations * 1.1 + 0.1
    found = medmetric(real, made)
    assert abs(found.fid - case["values"]["medmetric_fid"]) < 1e-6
    assert abs(found.mmd - case["values"]["medmetric_mmd"]) < 1e-6
    assert found.ms_ssim is None


def test_medmetric_clamps_where_the_distance_is_below_zero() -> None:
    real = vectors(0, 30)
    assert medmetric(real, real[::-1].copy()).mmd == 0


def test_medmetric_averages_the_ms_ssim_of_pairs() -> None:
    volume = np.random.default_rng(0).random((24, 24, 24)).astype(np.float32)
    found = medmetric(vectors(0, 9), vectors(1, 9), pairs=[(volume, volume), (volume, volume)])
    assert found.ms_ssim == pytest.approx(1)


def test_medmetric_table_leaves_out_what_was_not_measured() -> None:
    table = medmetric_table({"ours": Medmetric(0.0123456789, 0.5, None)})
    assert cells(table, "ours") == ["0.0123457", "0.5", ""]


def test_slides_has_a_row_for_each_pair_with_mean_and_sd() -> None:
    table = slides(
        {
            "real-other": (vectors(0, 90), vectors(1, 70)),
            "real-gen": (vectors(0, 90), vectors(2, 80)),
        },
        draws=5,
        size=40,
        features="toy",
    )
    assert table.splitlines()[0] == "|  | n | FID | precision | recall | density | coverage |"
    for row in ("real-other", "real-gen"):
        n, *numbers = cells(table, row)
        assert n == "40"
        assert len(numbers) == 5
        assert all("±" in number for number in numbers)
    assert "5 draws of n against n without replacement; toy; k = 5" in table


def test_a_reconstruction_is_drawn_with_its_original() -> None:
    real = vectors(0, 80)
    pairs = {"real-recon": (real, real + 1e-6)}
    together = slides(pairs, size=40, draws=3, paired=["real-recon"])
    assert float(cells(together, "real-recon")[1].split(" ")[0]) < 1e-9
    assert float(cells(slides(pairs, size=40, draws=3), "real-recon")[1].split(" ")[0]) > 0.1


def test_fewer_volumes_than_asked_are_said() -> None:
    table = slides({"small": (vectors(0, 30), vectors(1, 30))}, draws=3)
    assert "Fewer than 200 volumes: small (30)." in table
    assert "No other draw is possible, so no sd: small." in table


def test_paired_rows_need_equal_numbers() -> None:
    with pytest.raises(EvaluationError, match="30 and 29 rows cannot be the same subjects"):
        slides({"recon": (vectors(0, 30), vectors(1, 29))}, paired=["recon"])


def test_reconstructions_are_one_row_of_means() -> None:
    table = reconstructions({"PSNR": [36.0, 38.0], "SSIM": [0.98, 0.99]})
    assert cells(table, "recon") == ["37 ± 1.4", "0.9850 ± 0.0071"]
