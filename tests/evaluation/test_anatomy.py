"""Anatomy: what is measured on phantoms whose tissues are known, and what is refused."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from brainweave.data.grid import Grid
from brainweave.data.head import Head, canonical, mask_depth, tissues
from brainweave.data.seeds import generator
from brainweave.errors import EvaluationError
from brainweave.evaluation.anatomy import TOTALS, UNLOCATED, Anatomy, asymmetry
from brainweave.evaluation.priors import Priors

SHAPE, SPACING = (42, 50, 42), (4.0, 4.0, 4.0)
AFFINE = np.array([[4.0, 0, 0, -82], [0, 4, 0, -116], [0, 0, 4, -76], [0, 0, 0, 1]])
NAMES = ("outer csf", "left ventricle", "right ventricle", "grey", "deep", "white")
KINDS = ("csf", "csf", "csf", "grey", "deep", "white")
MEANS = np.array([0.25, 0.25, 0.25, 0.6, 0.75, 0.9])


class Case(NamedTuple):
    """A head: its volume in 0..1 and whether each voxel is of each region."""

    volume: np.ndarray
    fractions: np.ndarray

    @property
    def ml(self) -> np.ndarray:
        return self.fractions.reshape(len(NAMES), -1).sum(1) * 0.064


def head(seed: int, age: float, *, noise: float = 0.02, shading: float = 0.2) -> Case:
    ijk = np.indices(SHAPE).reshape(3, -1)
    points = torch.from_numpy(AFFINE[:3, :3] @ ijk + AFFINE[:3, 3:]).float()
    drawn = Head.draw(age=age, sex="FM"[seed % 2], generator=generator("head", seed))
    p = canonical(drawn, points)
    inside = (mask_depth(p) > 0).numpy()
    found = {name: part.numpy() for name, part in tissues(drawn, p, 4.0).items()}
    x, y, z = points.numpy()
    middle = (np.abs(x) < 34) & (y > -72) & (y < 34) & (z > -8) & (z < 30)
    fluid = found["csf"] + found["vein"]
    parts = [fluid * ~middle, fluid * (middle & (x < 0)), fluid * (middle & (x >= 0))]
    parts += [found["grey"], found["deep"] + found["pallidum"]]
    parts += [found["white"] + found["stem"] + found["halo"]]
    most = np.stack(parts).argmax(axis=0)
    fractions = ((most == np.arange(len(NAMES))[:, None]) & inside).astype(np.float32)
    bright = np.exp(shading * z / 80) * (MEANS @ fractions)
    random = np.random.default_rng(seed)
    volume = (bright + noise * random.normal(size=bright.shape)).clip(0.06, 1) * inside
    return Case(volume.reshape(SHAPE).astype(np.float32), fractions.reshape(-1, *SHAPE))


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    maps = np.mean([head(100 + s, 25.0 + 10 * s).fractions for s in range(6)], axis=0)
    near, far = (gaussian_filter(maps, (0, s, s, s)) for s in (0.4, 1.5))
    blurred = (0.95 * near + 0.05 * far).astype(np.float32)
    return Anatomy(Priors(NAMES, KINDS, blurred, Grid.of(SHAPE, AFFINE), 6))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [head(s, 22.0 + 11 * s) for s in range(6)]


def ventricles(anatomy: Anatomy, volume: np.ndarray) -> float:
    ml = anatomy.measure(volume, SPACING).ml
    return ml["left ventricle"] + ml["right ventricle"]


def test_ventricles_of_new_heads_are_measured(anatomy: Anatomy, cases: list[Case]) -> None:
    found = [ventricles(anatomy, case.volume) for case in cases]
    true = [case.ml[1:3].sum() for case in cases]
    assert np.corrcoef(found, true)[0, 1] > 0.97


def test_regions_add_up_to_tissues(anatomy: Anatomy, cases: list[Case]) -> None:
    ml = anatomy.measure(cases[0].volume, SPACING).ml
    assert tuple(ml) == (*NAMES, *TOTALS)
    assert sum(ml[n] for n in NAMES[:3]) == pytest.approx(ml["total csf"])
    assert ml["grey"] + ml["deep"] == pytest.approx(ml["total grey"])


def test_grey_and_white_matter_are_within_a_twentieth(anatomy: Anatomy, cases: list[Case]) -> None:
    for case in cases:
        ml = anatomy.measure(case.volume, SPACING).vector[-2:]
        np.testing.assert_allclose(ml, [case.ml[3:5].sum(), case.ml[5]], rtol=0.05)


def test_a_few_black_voxels_change_little(anatomy: Anatomy, cases: list[Case]) -> None:
    volume = cases[4].volume.copy()
    random = np.random.default_rng(0)
    volume[(volume > 0) & (random.random(SHAPE) < 0.02)] = 0.06
    once = ventricles(anatomy, cases[4].volume)
    assert ventricles(anatomy, volume) == pytest.approx(once, rel=0.05)


def test_the_scale_of_a_volume_does_not_matter(anatomy: Anatomy, cases: list[Case]) -> None:
    dim = np.where(cases[1].volume > 0, np.maximum(cases[1].volume * 0.85, 0.0501), 0)
    once = anatomy.measure(cases[1].volume, SPACING).vector
    np.testing.assert_allclose(
        anatomy.measure(dim.astype(np.float32), SPACING).vector, once, rtol=0.03
    )


def test_shading_does_not_matter(anatomy: Anatomy) -> None:
    flat, shaded = (head(3, 55.0, shading=by).volume for by in (0.0, 0.3))
    assert ventricles(anatomy, shaded) == pytest.approx(ventricles(anatomy, flat), rel=0.05)


def test_the_same_volume_gives_the_same_numbers(anatomy: Anatomy, cases: list[Case]) -> None:
    one, other = (anatomy.measure(cases[2].volume, SPACING).vector for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_it_converges_and_says_so(anatomy: Anatomy, cases: list[Case]) -> None:
    found = anatomy.measure(cases[0].volume, SPACING)
    assert found.converged
    assert found.contrast > 1


def test_labels_are_where_the_tissues_are(anatomy: Anatomy, cases: list[Case]) -> None:
    labels = anatomy.labels(cases[0].volume, SPACING)
    fractions = cases[0].fractions
    sure = fractions.max(axis=0) > 0.9
    right = labels[sure] == fractions.argmax(axis=0)[sure] + 1
    assert right.mean() > 0.85
    assert not labels[cases[0].volume == 0].any()


def test_inverted_contrast_is_measured_too(anatomy: Anatomy, cases: list[Case]) -> None:
    t2w = np.where(cases[4].volume > 0, 1.1 - cases[4].volume, 0).clip(0, 1).astype(np.float32)
    true = cases[4].ml[1:3].sum()
    assert ventricles(anatomy, t2w) == pytest.approx(true, rel=0.3)


def test_without_priors_there_is_csf_and_brain(cases: list[Case]) -> None:
    plain = Anatomy()
    found = np.array([plain.measure(case.volume, SPACING).vector for case in cases])
    assert plain.names == UNLOCATED
    assert np.corrcoef(found[:, 1], [case.ml[:3].sum() for case in cases])[0, 1] > 0.9
    labels = plain.labels(cases[0].volume, SPACING)
    assert set(np.unique(labels)) <= {0, 2, 3}


def test_a_grid_other_than_the_priors_is_refused(anatomy: Anatomy, cases: list[Case]) -> None:
    with pytest.raises(EvaluationError, match=r"priors\.on"):
        anatomy.measure(cases[0].volume[:-1], SPACING)
    with pytest.raises(EvaluationError, match=r"priors\.on"):
        anatomy.measure(cases[0].volume, (2.0, 2.0, 2.0))


@pytest.mark.parametrize("priors", [True, False])
def test_what_is_no_brain_is_refused(anatomy: Anatomy, cases: list[Case], priors: bool) -> None:
    measuring = anatomy if priors else Anatomy()
    inside = cases[0].volume > 0
    noise = np.random.default_rng(0).uniform(0.3, 0.9, SHAPE).astype(np.float32)
    empty = np.zeros(SHAPE, np.float32)
    broken = np.where(inside, np.nan, 0).astype(np.float32)
    wrong = {"head": empty, "NaN": broken}
    if priors:
        wrong |= {"standard deviations": noise * inside, "Dice": np.roll(cases[0].volume, 20, 1)}
    for word, volume in wrong.items():
        with pytest.raises(EvaluationError, match=word if priors or word == "NaN" else "needed"):
            measuring.measure(volume, SPACING)


def test_asymmetry_is_of_left_and_right() -> None:
    names = ("left hippocampus", "csf", "right hippocampus", "left only")
    pairs, values = asymmetry(names, np.array([[3.0, 9, 1, 5], [0, 9, 0, 5]]))
    assert pairs == ["hippocampus"]
    np.testing.assert_allclose(values, [[1.0], [0.0]])
