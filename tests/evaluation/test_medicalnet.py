"""Published networks are the authors', and weights that are not theirs are refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brainweave.backbones import medicalnet, radimagenet
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors import extractor
from brainweave.evaluation.extractors import medicalnet as m
from brainweave.evaluation.extractors import radimagenet as r

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/extractors.json").read_text())
MM = (2.0, 2.0, 2.0)


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """As benchmarks/golden_extractors.py draws a weight of that name."""
    random = np.random.default_rng(list(name.encode()))
    x = random.standard_normal(shape)
    if name.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif len(shape) == 1:
        x = 0.1 * x + (1 if ".weight" in name else 0)
    else:
        x = x * (2 / np.prod(shape[1:])) ** 0.5
    return torch.from_numpy(x.astype(np.float32))


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {n: drawn(n, tuple(t.shape)) for n, t in network.state_dict().items() if t.ndim}


def small() -> np.ndarray:
    i, j, k = np.indices((19, 24, 21))
    return (0.5 + 0.5 * np.sin(0.7 * i + 0.1 * j * k)).astype(np.float32)


@pytest.fixture(scope="module")
def ten() -> dict[str, Tensor]:
    """Weights of a ResNet-10."""
    return weights(medicalnet.Backbone(10))


@pytest.fixture(scope="module")
def file(ten: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """They as the authors store them, with counters and the head of a task."""
    path = tmp_path_factory.mktemp("weights") / "resnet_10.pth"
    named = {f"module.{name}": tensor for name, tensor in ten.items()}
    named |= {"module.bn1.num_batches_tracked": torch.tensor(3)}
    named |= {"module.conv_seg.0.weight": torch.zeros(2)}
    torch.save({"state_dict": named, "epoch": 7}, path)
    return path


@pytest.fixture(scope="module")
def flat() -> dict[str, Tensor]:
    """Weights of RadImageNet's network as in torchvision."""
    torch.manual_seed(0)
    return {n: t for n, t in radimagenet.Backbone(keras=False).state_dict().items() if t.ndim}


@pytest.mark.parametrize("depth", [10, 18, 50])
def test_maps_are_medmetric_s(depth: int) -> None:
    network = medicalnet.network(depth, weights(medicalnet.Backbone(depth)), "golden")
    with torch.inference_mode():
        found = network(torch.from_numpy(small())[None, None]).mean(dim=(2, 3, 4))[0].double()
    golden = GOLDEN["medicalnet"][str(depth)]
    assert found.mean().item() == pytest.approx(golden["mean"], rel=1e-5)
    np.testing.assert_allclose(found[: len(golden["first"])], golden["first"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depth", "dimension"), [(10, 512), (34, 512), (101, 2048)])
def test_last_maps_are_an_eighth_of_the_size(depth: int, dimension: int) -> None:
    with torch.device("meta"):
        found = medicalnet.Backbone(depth)(torch.empty(1, 1, 32, 40, 24))
    assert found.shape == (1, dimension, 4, 5, 3)


def test_features_are_the_golden_ones_from_the_authors_file(file: Path) -> None:
    vector = extractor("medicalnet", weights=file, depth=10, normalisation="wdm")(small(), MM)
    golden = GOLDEN["medicalnet"]["10"]
    np.testing.assert_allclose(vector[: len(golden["first"])], golden["first"], atol=1e-5)


def test_a_flat_file_is_the_same_network(
    file: Path, ten: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(ten, tmp_path / "flat.pth")
    a, b = (m.MedicalNet(path, depth=10)(small(), MM) for path in (file, tmp_path / "flat.pth"))
    np.testing.assert_array_equal(a, b)


def test_normalisations_and_weights_have_their_own_digests(file: Path) -> None:
    made = [m.MedicalNet(file, depth=10, normalisation=n) for n in ("medmetric", "wdm", "tencent")]
    assert len({e.digest for e in made}) == 3
    assert made[0].content == m.sha256(file)


def test_z_scores_are_blind_to_brightness(file: Path) -> None:
    describe = m.MedicalNet(file, depth=10)
    np.testing.assert_allclose(
        describe(small() * np.float32(0.5), MM), describe(small(), MM), rtol=1e-4, atol=1e-5
    )


def test_the_original_normalisation_fills_the_background_with_noise() -> None:
    x = torch.zeros(20, 20, 20)
    x[5:15] = torch.rand(10, 20, 20) + 0.1
    y = m.NORMALISATIONS["tencent"](x)
    for part in (y[x > 0], y[x == 0]):
        assert abs(part.mean()) < 0.05
        assert part.std().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(y, m.NORMALISATIONS["tencent"](x))


@pytest.mark.parametrize("normalisation", ["medmetric", "monai", "wdm"])
def test_an_empty_volume_is_not_a_silent_number(normalisation: str) -> None:
    found = m.NORMALISATIONS[normalisation](torch.zeros(4, 4, 4))
    assert torch.isfinite(found).all()


def test_an_empty_volume_has_no_foreground_to_normalise_by() -> None:
    with pytest.raises(EvaluationError, match="no voxel is above 0"):
        m.NORMALISATIONS["tencent"](torch.zeros(4, 4, 4))


def test_another_depth_is_refused(file: Path) -> None:
    with pytest.raises(EvaluationError, match=r"is a ResNet-10 with shortcut B.*ResNet-50"):
        m.MedicalNet(file)


def test_another_shortcut_is_refused() -> None:
    own = {
        name: torch.empty(0)
        for name in medicalnet.Backbone(18).state_dict()
        if "tracked" not in name
    }
    own["layer2.0.downsample.0.weight"] = torch.empty(0)
    with pytest.raises(EvaluationError, match=r"ResNet-18 with shortcut B.*with shortcut A"):
        medicalnet.network(18, own, "resnet_18.pth")


def test_errors_are_one_short_line(file: Path) -> None:
    with pytest.raises(EvaluationError) as caught:
        m.MedicalNet(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("options", [{"depth": 11}, {"normalisation": "minmax"}])
def test_unknown_depths_and_normalisations_are_refused(file: Path, options: dict) -> None:
    with pytest.raises(Exception, match=r"depths are 10, 18|normalisation"):
        m.MedicalNet(file, **options)


def test_missing_weights_say_where_they_are() -> None:
    with pytest.raises(EvaluationError, match="none was given; download resnet_50_23dataset"):
        extractor("medicalnet")


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(EvaluationError, match="no file of tensors"):
        m.MedicalNet(tmp_path / "x.pth")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Path("x")}, tmp_path / "x.pth")
    with pytest.raises(EvaluationError, match="read safely"):
        m.MedicalNet(tmp_path / "x.pth")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(EvaluationError, match="no named tensors"):
        m.MedicalNet(tmp_path / "x.pth")


def test_a_missing_device_is_refused(file: Path) -> None:
    with pytest.raises(EvaluationError, match="no device 'tpu9'"):
        m.MedicalNet(file, depth=10, device="tpu9")


@pytest.fixture(scope="module")
def slices(flat: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> r.RadImageNet:
    """RadImageNet from a file named as the authors'."""
    path = tmp_path_factory.mktemp("radimagenet") / "ResNet50.pt"
    numbers = {name: n for n, name in radimagenet._SEQUENCE.items()}
    torch.save({f"backbone.{numbers[k.split('.')[0]]}.{k.split('.', 1)[1]}": v
                for k, v in flat.items()}, path)  # fmt: skip
    return r.RadImageNet(path)


def test_a_volume_is_its_mean_slice(slices: r.RadImageNet, flat: dict[str, Tensor]) -> None:
    x = small()[:, :, :20]
    central = torch.from_numpy(x[:, :, 6:14])  # 40 % of 20
    central = (central - central.min()) / (central.max() - central.min())
    network = radimagenet.network(flat, "torchvision")
    with torch.inference_mode():
        maps = [
            network(torch.stack([central[:, :, n] - mean for mean in (0.406, 0.456, 0.485)])[None])
            for n in range(8)
        ]
    expected = torch.cat(maps).mean(dim=(0, 2, 3)).numpy()
    np.testing.assert_allclose(
        slices(x, MM)[slices.planes["axial"]], expected, rtol=1e-4, atol=1e-7
    )


def test_planes_are_blocks_of_the_features(slices: r.RadImageNet) -> None:
    x = small()
    found, turned = slices(x, MM), slices(x.transpose(2, 1, 0).copy(), MM)
    a, b = found[slices.planes["axial"]], turned[slices.planes["sagittal"]]
    assert slices.dimension == found.size == 3 * 2048
    assert not np.allclose(a, found[slices.planes["coronal"]], rtol=1e-3)
    assert np.corrcoef(a, b)[0, 1] > 0.9  # the same slices, transposed


def test_small_grids_are_refused(slices: r.RadImageNet) -> None:
    with pytest.raises(EvaluationError, match="5 slices"):
        slices(np.zeros((16, 16, 1), np.float32), MM)


def test_an_empty_volume_has_slices(slices: r.RadImageNet) -> None:
    assert np.isfinite(slices(np.zeros((8, 8, 8), np.float32), MM)).all()


def test_keras_weights_are_known_by_their_biases() -> None:
    named = {n: t for n, t in radimagenet.Backbone(keras=True).state_dict().items() if t.ndim}
    network = radimagenet.network(named, "keras")
    assert network.layer2[0].conv1.stride == (2, 2)
    assert network.bn1.eps == 1.001e-5


def test_torchvision_strides_in_the_second_convolution() -> None:
    with torch.device("meta"):
        assert radimagenet.Backbone(keras=False).layer2[0].conv2.stride == (2, 2)


def test_other_networks_are_no_radimagenet(ten: dict[str, Tensor]) -> None:
    with pytest.raises(EvaluationError, match="does not fit RadImageNet's ResNet-50: no "):
        radimagenet.network(ten, "resnet_10.pth")
