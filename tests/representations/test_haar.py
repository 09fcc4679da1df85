"""Haar against explicit kernels, a loop over voxels, itself twice, and cWDM's own code."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from brainweave.errors import RecipeError, ShapeError
from brainweave.representations import SUBBANDS, Haar, haar_kernels
from brainweave.representations.haar import ALL, analyse, synthesise

GOLDEN = Path(__file__).parents[1] / "golden" / "cwdm_small.safetensors"


@pytest.fixture(scope="module")
def volume() -> Tensor:
    return torch.randn(2, 1, 8, 12, 16, generator=torch.Generator().manual_seed(0))


def dumb(volume: Tensor) -> Tensor:
    """One level, voxel by voxel: low is the sum, high the first minus the second, over sqrt 2."""
    b, _, *edges = volume.shape
    result = torch.zeros(b, 8, *(edge // 2 for edge in edges))
    for i in range(edges[0]):
        for j in range(edges[1]):
            for k in range(edges[2]):
                for band, letters in enumerate(SUBBANDS):
                    odd = zip(letters, (i % 2, j % 2, k % 2), strict=True)
                    sign = (-1) ** sum(letter == "H" and second for letter, second in odd)
                    result[:, band, i // 2, j // 2, k // 2] += sign * volume[:, 0, i, j, k] / 8**0.5
    return result


def test_one_level_is_the_transform_written_as_a_loop(volume):
    torch.testing.assert_close(Haar().encode(volume), dumb(volume))


@pytest.mark.parametrize(
    ("axis", "band"), [(2, "HLL"), (3, "LHL"), (4, "LLH")], ids=["i", "j", "k"]
)
def test_the_letters_of_a_band_follow_the_axes(axis, band):
    shape = [1, 1, 4, 4, 4]
    step = torch.tensor([1.0, -1.0]).repeat(2)
    alternating = step.view([-1 if a == axis else 1 for a in range(5)]).expand(shape)
    energy = Haar().encode(alternating.contiguous()).square().sum((0, 2, 3, 4))
    assert (energy > 1e-6).nonzero().flatten().tolist() == [SUBBANDS.index(band)]


def test_the_kernels_are_products_of_one_pair_per_axis():
    pair = {"L": [1.0, 1.0], "H": [1.0, -1.0]}
    for kernel, letters in zip(haar_kernels(1), SUBBANDS, strict=True):
        i, j, k = (torch.tensor(pair[letter], dtype=torch.float64) for letter in letters)
        expected = torch.einsum("i,j,k->ijk", i, j, k) / 8**0.5
        torch.testing.assert_close(kernel[0], expected)


def test_the_bands_are_those_of_cwdms_own_transform():
    golden = load_file(GOLDEN)
    bands = Haar().encode(golden["haar.volume"])
    torch.testing.assert_close(bands, golden["haar.subbands"], rtol=0, atol=1e-5)


def test_a_constant_goes_to_the_first_band_times_the_root_of_eight():
    bands = Haar().encode(torch.ones(1, 1, 4, 4, 4))
    torch.testing.assert_close(bands[:, 0], torch.full((1, 2, 2, 2), 8**0.5))


def test_channel_8a_plus_b_of_two_levels_is_band_b_of_band_a(volume):
    first = Haar(levels=1).encode(volume)
    again = [Haar(levels=1).encode(first[:, a : a + 1]) for a in range(8)]
    torch.testing.assert_close(Haar(levels=2).encode(volume), torch.cat(again, dim=1))


@pytest.mark.parametrize("levels", [1, 2])
def test_the_transform_keeps_energy(volume, levels):
    bands = Haar(levels=levels).encode(volume)
    torch.testing.assert_close(bands.square().sum(), volume.square().sum())


@pytest.mark.parametrize("levels", [1, 2])
def test_white_noise_in_coefficients_is_white_noise_in_voxels(levels):
    haar = Haar(levels=levels)
    edge = 2 * haar.factors[0]
    count = edge**3
    inverse = haar.decode(torch.eye(count).view(count, haar.channels, 2, 2, 2)).flatten(1)
    torch.testing.assert_close(inverse @ inverse.T, torch.eye(count), rtol=0, atol=1e-6)


@pytest.mark.parametrize("levels", [1, 2])
def test_volumes_come_back_to_1e_6_also_under_autocast(volume, levels):
    haar = Haar(levels=levels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        back = haar.decode(haar.encode(volume))
    torch.testing.assert_close(back, volume, rtol=0, atol=2e-6)


@pytest.mark.parametrize("levels", [1, 2])
def test_gradients_pass_both_ways(levels):
    haar = Haar(levels=levels, approximation_scale=3.0)
    x = torch.randn(1, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(haar.encode, x)
    assert torch.autograd.gradcheck(lambda v: haar.decode(haar.encode(v)), x)


def test_the_approximation_alone_is_divided_by_its_scale(volume):
    plain, scaled = Haar().encode(volume), Haar(approximation_scale=3.0).encode(volume)
    torch.testing.assert_close(scaled[:, :1] * 3, plain[:, :1])
    torch.testing.assert_close(scaled[:, 1:], plain[:, 1:])


def test_a_scaled_approximation_is_undone(volume):
    haar = Haar(levels=2, approximation_scale=3.0)
    torch.testing.assert_close(haar.decode(haar.encode(volume)), volume, rtol=0, atol=2e-6)


def test_an_edge_that_cannot_be_halved_is_refused():
    with pytest.raises(ShapeError, match="multiple of 4"):
        Haar(levels=2).encode(torch.zeros(1, 1, 8, 6, 8))


def test_four_levels_are_refused():
    with pytest.raises(RecipeError, match="levels"):
        Haar(levels=4)


@pytest.mark.parametrize("without_numbers", [FakeTensorMode, lambda: torch.device("meta")])
def test_counting_without_numbers_does_not_spoil_the_transform_after_it(without_numbers, volume):
    with without_numbers():
        bands = Haar().encode(torch.zeros(1, 1, 4, 4, 4))
        assert Haar().decode(bands).shape == (1, 1, 4, 4, 4)
    torch.testing.assert_close(Haar().decode(Haar().encode(volume)), volume, rtol=0, atol=2e-6)


# One level of many channels, along some axes

SOME = [ALL, (True, True, False), (False, True, True), (True, False, False), (False, False, True)]
some = pytest.mark.parametrize(
    "axes", SOME, ids=lambda axes: "".join("ijk"[a] for a in range(3) if axes[a])
)


@pytest.fixture(scope="module")
def channels() -> Tensor:
    return torch.randn(2, 3, 8, 4, 6, generator=torch.Generator().manual_seed(0))


def test_all_channels_first_subband_comes_first(channels):
    bands = analyse(channels)
    for channel in range(3):
        alone = Haar().encode(channels[:, channel : channel + 1])
        torch.testing.assert_close(bands[:, channel::3], alone)


@some
def test_along_some_axes_it_is_the_whole_one_of_what_does_not_change_along_the_others(axes):
    few = torch.randn(1, 2, 8, 4, 6, generator=torch.Generator().manual_seed(0))
    low = [band for band in range(8) if all(axes[a] or SUBBANDS[band][a] == "L" for a in range(3))]
    wide = few
    for axis, halved in enumerate(axes, start=2):
        wide = wide if halved else wide.repeat_interleave(2, dim=axis) / 2**0.5
    expected = analyse(wide).unflatten(1, (8, 2))
    torch.testing.assert_close(analyse(few, axes=axes).unflatten(1, (-1, 2)), expected[:, low])


@some
def test_channels_come_back_also_under_autocast(axes, channels):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        back = synthesise(analyse(channels, axes=axes), axes=axes)
    torch.testing.assert_close(back, channels, rtol=0, atol=2e-6)


@some
def test_what_is_synthesised_is_analysed_again(axes, channels):
    bands = torch.cat([channels, channels.flip(2)], dim=1).repeat(1, 4, 1, 1, 1)
    again = analyse(synthesise(bands, axes=axes), axes=axes)
    torch.testing.assert_close(again, bands, rtol=0, atol=2e-6)


def test_only_the_edges_along_the_axes_must_be_even():
    odd = torch.zeros(1, 1, 4, 4, 5)
    assert analyse(odd, axes=(True, True, False)).shape == (1, 4, 2, 2, 5)
    with pytest.raises(ShapeError, match="even"):
        analyse(odd)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="TF32 is of GPUs")
def test_the_transform_is_as_exact_on_a_gpu(volume):
    torch.testing.assert_close(Haar().encode(volume.cuda()).cpu(), Haar().encode(volume))
