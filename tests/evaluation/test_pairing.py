"""Volume by volume: what every pair allows, and what is said of what it does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from judging import changed, settled, told
from scipy.ndimage import gaussian_filter

from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.data.volume import Volume
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.pairing import pairing
from brainweave.evaluation.scans import open_sides


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Six phantoms with a lesion and its labels."""
    folder = tmp_path_factory.mktemp("lesions")
    return Cohort.open(write_phantoms(folder, 6, shape=(32, 40, 32), modalities=("t1w", "seg")))


def against(bench: Bench, real: Cohort, made: Cohort) -> Bench:
    """A bench of pairs; this chapter looks at no features."""
    sides, _ = open_sides({"real": real, "made": made})
    return replace(settled(bench, paired=True), sides=sides, spaces=())


@pytest.fixture(scope="module")
def blurred(real: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("blurred")
    return Cohort(changed(tuple(real), folder, lambda data: gaussian_filter(data, 0.7)))


@pytest.fixture(scope="module")
def chapter(bench: Bench, real: Cohort, blurred: Cohort) -> Chapter:
    return pairing(against(bench, real, blurred))


def values(chapter: Chapter) -> dict[str, float]:
    return {score.name: score.value for score in chapter.scores}


def test_pairs_are_compared_whole_and_inside_masks(chapter: Chapter) -> None:
    names = {"psnr", "ssim [head]", "mae [tumour]", "ms_ssim [healthy]"}
    assert names - {"ssim [head]"} <= set(values(chapter))
    assert 15 < values(chapter)["psnr"] < 40
    assert 0.5 < values(chapter)["ssim"] < 1


def test_tumours_bring_the_brasyn_protocol(chapter: Chapter) -> None:
    found = values(chapter)
    assert found["brasyn/ssim tumour, official"] > found["brasyn/ssim [tumour]"]


def test_two_label_maps_bring_their_overlap(chapter: Chapter) -> None:
    assert values(chapter)["dice WT"] == 1  # the same maps


def test_every_pair_has_its_row(chapter: Chapter) -> None:
    means, *every = chapter.tables
    assert means.title == "Means over pairs"
    assert len(every) == 3
    assert all(len(table.rows) == 6 for table in every)


def test_pairs_are_shown_with_their_difference(chapter: Chapter) -> None:
    (figure,) = chapter.figures
    assert figure.synthetic
    assert isinstance(figure.body, bytes)


def test_lpips_without_its_weights_is_said(chapter: Chapter) -> None:
    assert "unknown: LPIPS was not measured: " in told(chapter)


def test_without_label_maps_the_protocol_is_not_mentioned(
    bench: Bench, real: Cohort, blurred: Cohort
) -> None:
    bare = [replace(s, images={"t1w": s.images["t1w"]}) for s in real]
    found = pairing(against(bench, Cohort(bare), blurred))
    assert not any(name.startswith(("brasyn", "dice")) for name in values(found))
    assert "BraSyn" not in told(found)


def test_labels_of_another_kind_are_said_and_cost_nothing_else(
    bench: Bench, real: Cohort, blurred: Cohort, tmp_path: Path
) -> None:
    odd = []
    for subject in blurred:
        volume, path = Volume.load(subject.images["seg"]), tmp_path / f"{subject.id}_seg.nii.gz"
        Volume(torch.where(volume.data > 0, 17.0, 0.0), volume.affine).save(path)
        odd.append(replace(subject, images={**subject.images, "seg": path}))
    found = pairing(against(bench, real, Cohort(odd)))
    assert "Overlap of tumours was not measured: labels 17 are none of BraTS" in told(found)
    assert "brasyn/psnr [tumour]" in values(found)


def test_nobody_with_a_tumour_is_said(
    bench: Bench, real: Cohort, blurred: Cohort, tmp_path: Path
) -> None:
    healthy = []
    for subject in real:
        volume, path = Volume.load(subject.images["seg"]), tmp_path / f"{subject.id}_seg.nii.gz"
        Volume(0 * volume.data, volume.affine).save(path)
        healthy.append(replace(subject, images={**subject.images, "seg": path}))
    found = pairing(against(bench, Cohort(healthy), blurred))
    assert "The BraSyn protocol was not measured: " in told(found)
    assert np.isfinite(values(found)["psnr"])
