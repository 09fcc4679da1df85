"""Extractors see what they claim to see and are told apart by their digests."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.data.phantom import phantom
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors import REGISTRY, extractor
from brainweave.evaluation.extractors.pca import Components
from brainweave.evaluation.extractors.random_cnn import PINNED, RandomNetwork
from brainweave.evaluation.extractors.wavelet import FLOOR, Wavelet

MM = (4.0, 4.0, 4.0)
WEIGHT_FREE = ("wavelet", "random-cnn")


@pytest.fixture(scope="module")
def brains() -> list[np.ndarray]:
    """Six heads of 32 x 40 x 32 voxels in 0..1."""
    heads = [phantom(age=40.0, sex="F", seed=seed, shape=(32, 40, 32)) for seed in range(6)]
    return [np.clip(head["t1w"].data.numpy() / 1100, 0, 1).astype(np.float32) for head in heads]


@pytest.fixture(scope="module")
def components(brains: list[np.ndarray]) -> Components:
    return Components().fitted(brains, MM)


def checkerboard(x: np.ndarray) -> np.ndarray:
    wave = 1 - 2 * (np.indices(x.shape).sum(0) % 2)
    return np.where(x > 0, x + 0.1 * wave, 0).astype(np.float32)


def noisy(x: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.1, x.shape)
    return np.where(x > 0, x + noise, 0).astype(np.float32)


def smooth(x: np.ndarray) -> np.ndarray:
    return (0.5 * x + 0.25 * np.roll(x, 1, 2) + 0.25 * np.roll(x, -1, 2)).astype(np.float32)


DAMAGE = {
    "smooth": smooth,
    "noise": noisy,
    "x1.05": lambda x: x * np.float32(1.05),
    "checkerboard": checkerboard,
}


@pytest.mark.parametrize("name", WEIGHT_FREE)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_moves_some_feature_beyond_the_spread_of_brains(
    name: str, damage: str, brains: list[np.ndarray]
) -> None:
    describe = extractor(name)
    clean = np.array([describe(x, MM) for x in brains])
    moved = np.array([describe(DAMAGE[damage](x), MM) for x in brains]) - clean
    spread = clean.std(0) + 1e-9
    assert (np.abs(moved.mean(0)) / spread).max() > 1.2


@pytest.mark.parametrize("name", WEIGHT_FREE)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 2), (17, 19, 23)])
def test_any_grid_is_described(name: str, shape: tuple[int, int, int]) -> None:
    describe = extractor(name)
    vector = describe(np.random.default_rng(0).random(shape, dtype=np.float32), MM)
    assert vector.shape == (describe.dimension,)
    assert vector.dtype == np.float64
    assert np.isfinite(vector).all()


@pytest.mark.parametrize("name", WEIGHT_FREE)
def test_an_empty_volume_has_finite_features(name: str) -> None:
    assert np.isfinite(extractor(name)(np.zeros((8, 8, 8), np.float32), MM)).all()


def test_haar_bands_keep_all_energy() -> None:
    x = np.random.default_rng(0).random((16, 32, 16), dtype=np.float32)
    energies = (np.exp(Wavelet()(x, MM)) - FLOOR).reshape(22, 8)
    sizes = np.repeat([x.size / 64, x.size / 512, x.size / 4096], [7, 7, 8])  # per octant
    assert (energies.sum(1) * sizes).sum() == pytest.approx((x.astype(float) ** 2).sum(), rel=1e-9)


def test_haar_energies_are_those_of_explicit_matrices() -> None:
    x = np.random.default_rng(1).random((16, 16, 16), dtype=np.float32)
    low = np.kron(np.eye(8), [1, 1]) / 2**0.5
    high = np.kron(np.eye(8), [1, -1]) / 2**0.5
    expected = []
    for a, b, c in list(itertools.product((low, high), repeat=3))[1:]:
        band = np.einsum("ai,bj,ck,ijk->abc", a, b, c, x.astype(float))
        expected += [
            np.log(FLOOR + (band[i : i + 4, j : j + 4, k : k + 4] ** 2).mean())
            for i, j, k in itertools.product((0, 4), repeat=3)
        ]
    np.testing.assert_allclose(Wavelet()(x, MM)[:56], expected, rtol=1e-9)


def test_jitter_along_one_axis_shows_in_its_bands_alone() -> None:
    x = np.zeros((16, 16, 16), np.float32)
    x[..., ::2] = 0.1
    energies = Wavelet()(x, MM).reshape(22, 8)[:7].max(1)
    assert np.flatnonzero(energies > np.log(2 * FLOOR)).tolist() == [0]  # differences along k


def test_brighter_moves_every_wavelet_energy_alike(brains: list[np.ndarray]) -> None:
    moved = Wavelet()(brains[0] * np.float32(1.05), MM) - Wavelet()(brains[0], MM)
    assert np.median(moved) == pytest.approx(2 * np.log(1.05), abs=2e-3)


def test_random_network_is_the_pinned_one() -> None:
    assert RandomNetwork().content == PINNED


def test_random_network_repeats_itself(brains: list[np.ndarray]) -> None:
    np.testing.assert_array_equal(RandomNetwork()(brains[0], MM), RandomNetwork()(brains[0], MM))


def test_components_equal_an_explicit_decomposition(
    brains: list[np.ndarray], components: Components
) -> None:
    rows = np.array(brains, dtype=float)  # blocks of 4 mm are single voxels here
    inside = rows.mean(0) > 0.05
    rows = rows[:, inside]
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    expected = np.abs((rows[0] - rows.mean(0)) @ axes[:3].T) / inside.sum() ** 0.5
    np.testing.assert_allclose(np.abs(components(brains[0], MM)), expected, atol=1e-8)


def test_components_are_half_the_volumes(components: Components) -> None:
    assert components.dimension == 3


def test_components_average_blocks_of_four_millimetres(brains: list[np.ndarray]) -> None:
    fine = [np.repeat(x, 2, axis=2) for x in brains]
    at_two = Components().fitted(fine, (4.0, 4.0, 2.0))
    at_four = Components().fitted(brains, MM)
    np.testing.assert_allclose(
        at_two(fine[1], (4.0, 4.0, 2.0)), at_four(brains[1], MM), rtol=1e-6, atol=1e-9
    )


def test_components_are_restored_from_their_state(
    brains: list[np.ndarray], components: Components
) -> None:
    again = Components().restored(components.state())
    assert again.digest == components.digest
    np.testing.assert_array_equal(again(brains[0], MM), components(brains[0], MM))


def test_another_fit_has_another_digest(brains: list[np.ndarray], components: Components) -> None:
    assert Components().fitted(brains[1:], MM).digest != components.digest


def test_components_refuse_before_they_are_fitted(brains: list[np.ndarray]) -> None:
    with pytest.raises(EvaluationError, match="must be fitted"):
        Components()(brains[0], MM)


def test_components_refuse_another_grid(components: Components) -> None:
    with pytest.raises(EvaluationError, match="one grid"):
        components(np.zeros((8, 8, 8), np.float32), MM)


def test_components_refuse_volumes_of_two_grids(brains: list[np.ndarray]) -> None:
    with pytest.raises(EvaluationError, match="one grid"):
        Components().fitted([*brains, brains[0][:-4]], MM)


def test_components_refuse_three_volumes(brains: list[np.ndarray]) -> None:
    with pytest.raises(EvaluationError, match="needs 4 volumes"):
        Components().fitted(brains[:3], MM)


def test_components_refuse_equal_volumes(brains: list[np.ndarray]) -> None:
    with pytest.raises(EvaluationError, match="are the same"):
        Components().fitted(brains[:1] * 5, MM)


def test_components_refuse_empty_volumes() -> None:
    with pytest.raises(EvaluationError, match="no brain"):
        Components().fitted([np.zeros((8, 8, 8), np.float32)] * 5, MM)


def test_digests_tell_extractors_apart() -> None:
    assert len({extractor(name).digest for name in ("wavelet", "random-cnn", "pca")}) == 3


def test_digest_hears_the_preprocessing() -> None:
    one, other = Wavelet(), Wavelet()
    other.preprocessing["version"] = -1
    assert one.digest != other.digest


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(EvaluationError, match="did you mean 'wavelet'"):
        extractor("wavelets")


def test_unknown_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(EvaluationError, match="did you mean 'weights'"):
        extractor("medicalnet", weight="x.pth")


def test_registry_names_are_those_of_its_extractors() -> None:
    for name in ("wavelet", "pca", "random-cnn"):
        assert extractor(name).name == name
    assert set(REGISTRY) >= {"regions", "medicalnet", "radimagenet-2.5d"}


def own(folder: Path, body: str) -> str:
    path = folder / "mine.py"
    path.write_text(body)
    return str(path)


def test_a_function_of_a_file_is_an_extractor(tmp_path: Path, brains: list[np.ndarray]) -> None:
    path = own(tmp_path, "def ends(volume, spacing):\n    return [volume.max(), spacing[0]]\n")
    vector = extractor(f"{path}:ends")(brains[0], MM)
    np.testing.assert_allclose(vector, [brains[0].max(), 4.0])


def test_a_function_of_a_module_is_an_extractor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brains: list[np.ndarray]
) -> None:
    (tmp_path / "described_here.py").write_text("def top(v, mm):\n    return v.max(axis=(1, 2))\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert extractor("described_here:top")(brains[0], MM).shape == (32,)


def test_a_changed_function_has_another_digest(tmp_path: Path) -> None:
    before = extractor(own(tmp_path, "def f(v, mm):\n    return [1.0]\n") + ":f").digest
    after = extractor(own(tmp_path, "def f(v, mm):\n    return [2.0]\n") + ":f").digest
    assert before != after


def test_torch_vectors_of_own_functions_are_taken(tmp_path: Path, brains: list[np.ndarray]) -> None:
    path = own(tmp_path, "import torch\n\ndef f(v, mm):\n    return torch.ones(3)\n")
    assert extractor(f"{path}:f")(brains[0], MM).tolist() == torch.ones(3).tolist()


@pytest.mark.parametrize("returned", ["None", "'text'", "v", "3.0", "[]", "[[1.0]]", "{}"])
def test_what_is_no_vector_is_refused(
    returned: str, tmp_path: Path, brains: list[np.ndarray]
) -> None:
    path = own(tmp_path, f"def f(v, mm):\n    return {returned}\n")
    with pytest.raises(EvaluationError, match="a vector of numbers is needed"):
        extractor(f"{path}:f")(brains[0], MM)


@pytest.mark.parametrize(
    ("body", "noun", "told"),
    [
        ("def g(v, mm):\n    return [1]\n", "f", "functions there: g"),
        ("f = 3\n", "f", "has no function 'f'"),
        ("def f(:\n", "f", "cannot be imported"),
        ("import no_such_module\n", "f", "no_such_module"),
    ],
)
def test_own_functions_that_are_none_are_refused(
    body: str, noun: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match=told):
        extractor(f"{own(tmp_path, body)}:{noun}")


def test_own_functions_take_no_options(tmp_path: Path) -> None:
    path = own(tmp_path, "def f(v, mm):\n    return [1.0]\n")
    with pytest.raises(EvaluationError, match="has no option 'weights'"):
        extractor(f"{path}:f", weights="x.pth")


def test_a_missing_module_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"package\.module:function"):
        extractor("nowhere_to_be_found:f")


def test_functions_without_a_source_file_are_refused() -> None:
    with pytest.raises(EvaluationError, match="no source file"):
        extractor("builtins:sum")
