"""The autoencoder of latent diffusion: its size, its layers, its slice by slice pass."""

import itertools

import pytest
import torch
from exactly import built, near, volume
from torch import nn

from brainweave import lean
from brainweave.cost import Live
from brainweave.errors import RecipeError, ShapeError
from brainweave.part import from_dict, to_dict
from brainweave.representations.autoencoders import AutoencoderKLConfig, tiles
from brainweave.representations.autoencoders.blocks import Attention, Down, Up
from brainweave.representations.autoencoders.streams import Room

SMALL = AutoencoderKLConfig(widths=(8, 12), blocks=1, groups=4, latent_channels=3)
CONFIGS = {
    "two levels": SMALL,
    "one level": SMALL.replace(widths=(8,)),
    "four levels": SMALL.replace(widths=(8, 4, 12, 8), blocks=(1, 2, 1, 2)),
    "channels": SMALL.replace(in_channels=2, out_channels=3),
    "attention": SMALL.replace(attention_levels=(1,), encoder_attention=True, attention_out=False),
    "in the decoder": SMALL.replace(decoder_attention=True, blocks=2),
    "trilinear": SMALL.replace(widths=(8, 12, 8), upsample="trilinear"),
    "transposed, 2 wide": SMALL.replace(widths=(8, 12, 8), upsample="transposed_2"),
    "transposed, 3 wide": SMALL.replace(widths=(8, 12, 8), upsample="transposed_3"),
    "in pairs of slices": SMALL.replace(widths=(32, 32), groups=32),
}
every = pytest.mark.parametrize("name", CONFIGS)


# As a value


@every
def test_a_config_survives_json(name):
    assert from_dict(to_dict(CONFIGS[name])) == CONFIGS[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": (1, 2, 3)}, "blocks (1, 2, 3) for 2 levels"),
        ({"blocks": 0}, "each needs one or more"),
        ({"attention_levels": (2,)}, "attention level 2 of 2 levels"),
        ({"groups": 5}, "5 groups do not divide 8 channels"),
        ({"upsample": "cubic"}, "upsample"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(change, message):
    with pytest.raises(RecipeError, match=message.replace("(", r"\(").replace(")", r"\)")):
        SMALL.replace(**change)


def test_maisis_has_21_million_parameters():
    with torch.device("meta"):
        module = AutoencoderKLConfig(upsample="trilinear").build()
    assert sum(parameter.numel() for parameter in module.parameters()) == 20_944_897


# Any size


@every
def test_volumes_of_any_size_come_back_in_it(name):
    module = built(CONFIGS[name])
    mu, _ = module.encode(volume(1, module.config.in_channels, 10, 11, 15))
    found = module.decode(mu, shape=(10, 11, 15))
    assert found.shape == (1, module.config.coming_back, 10, 11, 15)


def test_latents_are_those_of_whole_blocks():
    mu, sigma = built(CONFIGS["four levels"]).encode(volume(1, 1, 10, 16, 17))
    assert mu.shape == sigma.shape == (1, 3, 2, 2, 3)
    assert bool((sigma > 0).all())


def test_another_number_of_channels_is_refused():
    with pytest.raises(ShapeError, match="takes 2"):
        built(CONFIGS["channels"]).encode(volume(1, 1, 8, 8, 8))


@every
def test_gradients_reach_every_weight(name):
    module = CONFIGS[name].build()
    made = module(volume(1, module.config.in_channels, 8, 8, 8, kind=torch.float32))
    loss = made.volume.square().mean() + made.mu.square().mean() + made.sigma.square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


# Layers against sums


def test_doubling_by_a_transposed_convolution_adds_each_voxel_to_three():
    up = Up(1, "transposed_3").double()
    nn.init.zeros_(up.conv.bias)
    x, expected = volume(1, 1, 2, 3, 2), torch.zeros(1, 1, 6, 8, 6, dtype=torch.float64)
    for i, j, k in itertools.product(range(2), range(3), range(2)):
        place = expected[0, 0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, 2 * k : 2 * k + 3]
        place += x[0, 0, i, j, k] * up.conv.weight[0, 0].detach()
    near(up(x), expected[:, :, 1:5, 1:7, 1:5])


def test_halving_looks_at_three_slices_and_at_zeros_behind_the_last():
    down = Down(1).double()
    x = volume(1, 1, 4, 4, 4)
    beyond = torch.zeros(5, 5, 5, dtype=torch.float64)
    beyond[:4, :4, :4] = x[0, 0]
    weight, bias = down.conv.weight[0, 0], down.conv.bias
    near(down(x)[0, 0, 1, 0, 1], ((beyond[2:5, 0:3, 2:5] * weight).sum() + bias)[0])


def test_attention_is_a_mean_of_values_weighted_by_likeness():
    attention = Attention(SMALL, 8).double()
    x = volume(1, 8, 2, 1, 2)
    tokens = attention.norm(x)[0].flatten(1).T
    q, k, v = attention.qkv(tokens).chunk(3, dim=1)
    mixed = (q @ k.T / 8**0.5).softmax(1) @ v
    near(attention(x), x + attention.out(mixed).T.reshape(x.shape))


# Slice by slice


@every
@pytest.mark.parametrize(
    ("slab", "memory"),
    [(2**24, 0), (20_000, 100_000), (1, 1)],
    ids=["whole and kept", "some", "thin and made again"],
)
def test_slice_by_slice_it_makes_the_same(name, slab, memory, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    module = built(CONFIGS[name])
    factor = module.config.factors[0]
    x = volume(1, module.config.in_channels, max(3 * factor, 5), factor, 2 * factor)
    h, before = module.encoded(x, None), x.clone()
    near(module.encoded(x, Room(memory)), h)
    near(module.decoded(h, Room(memory)), module.decoded(h, None))
    assert torch.equal(x, before)


def test_many_slices_in_single_precision_are_the_same_to_five_digits(monkeypatch):
    monkeypatch.setattr(lean, "SLAB", 2**14)
    module, x = built(SMALL).float(), volume(2, 1, 32, 8, 12, kind=torch.float32)
    with torch.enable_grad():
        expected, z = module.encode(x), volume(2, 3, 16, 4, 6, kind=torch.float32)
        volumes = module.decode(z)
    for found, plain in zip(module.encode(x, memory=10**8), expected, strict=True):
        near(found, plain, 1e-5)
    near(module.decode(z, memory=10**8), volumes, 1e-5)


@pytest.mark.parametrize("side", ["encoded", "decoded"])
def test_it_keeps_to_a_bound_in_which_the_plain_pass_does_not_fit(side, monkeypatch, caplog):
    monkeypatch.setattr(lean, "SLAB", 2**16)
    bound, module = 7 * 2**20, built(SMALL.replace(widths=(16, 32))).float()
    latents = volume(1, 3, 32, 16, 16, kind=torch.float32)
    x = volume(1, 1, 64, 32, 32, kind=torch.float32) if side == "encoded" else latents
    with torch.no_grad(), Live(module) as plain:
        expected = getattr(module, side)(x, None)
    with torch.no_grad(), Live(module) as live:
        run = module.moments if side == "encoded" else module.volumes
        found = run(x, bound)
    assert live.peak < bound < plain.peak / 2
    assert not caplog.records
    if side == "encoded":
        near(found[0], module.to_mu(expected), 1e-5)


def test_bounds_between_keep_as_much_as_they_allow(monkeypatch):
    monkeypatch.setattr(lean, "SLAB", 2**16)
    module, z = built(SMALL.replace(widths=(16, 32))).float(), volume(1, 3, 32, 16, 16).float()
    peaks = []
    for bound in (7, 12, 40):
        with torch.no_grad(), Live(module) as live:
            module.volumes(z, bound * 2**20)
        peaks.append(live.peak / 2**20)
        assert peaks[-1] < bound
    assert peaks == sorted(peaks)
    assert peaks[-1] > 2 * peaks[0]


def test_a_pass_in_bfloat16_is_near_that_of_the_plain_one():
    module = built(CONFIGS["attention"]).float()
    x = volume(1, 1, 16, 8, 12, kind=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        mu = module.encode(x, memory=10**8)[0]
        near(module.decode(mu, memory=10**8).float(), module.decode(mu).float(), 0.05)
    near(mu.float(), module.encode(x)[0], 0.05)


def test_a_bound_too_small_for_slices_is_kept_in_blended_tiles(caplog):
    module = built(SMALL).float()
    x = volume(1, 1, 20, 16, 16, kind=torch.float32)
    tiles._warn.cache_clear()
    mu, _ = module.encode(x, memory=2**19)
    assert mu.shape == (1, 3, 10, 8, 8)
    assert "approximation" in caplog.text


def test_gradients_are_not_lost_to_a_bound():
    module = built(SMALL)
    z = volume(1, 3, 4, 4, 4).requires_grad_()
    module.decode(z, memory=10**8).square().sum().backward()
    assert z.grad is not None
    assert bool(z.grad.any())
