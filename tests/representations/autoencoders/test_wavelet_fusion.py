"""brainmint's autoencoder: its wavelets, its size, its slice by slice pass."""

import pytest
import torch
from exactly import built, near, volume
from torch import Tensor

from brainweave import lean
from brainweave.cost import Live
from brainweave.errors import RecipeError
from brainweave.part import from_dict, to_dict
from brainweave.representations.autoencoders import WaveletFusionConfig
from brainweave.representations.autoencoders.streams import Room
from brainweave.representations.autoencoders.wavelet_fusion import ORDER
from brainweave.representations.haar import SUBBANDS, analyse

SMALL = WaveletFusionConfig(widths=(8, 12), flow=4, blocks=1, groups=4, latent_channels=3)
CONFIGS = {
    "two levels": SMALL,
    "three levels": SMALL.replace(widths=(8, 4, 12), blocks=(1, 2, 3)),
    "channels": SMALL.replace(in_channels=2, out_channels=3),
    "attention": SMALL.replace(attention_levels=(1,), encoder_attention=True),
    "in the decoder": SMALL.replace(decoder_attention=True, attention_out=False),
    "transposed": SMALL.replace(upsample="transposed_2", blocks=2),
    "rounded": SMALL.replace(haar_gain=0.3536),
}
every = pytest.mark.parametrize("name", CONFIGS)


@every
def test_a_config_survives_json(name):
    assert from_dict(to_dict(CONFIGS[name])) == CONFIGS[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (8,)}, "widths"),
        ({"flow": 6}, "4 groups do not divide 14 channels"),
        ({"flow": 6, "groups": 2, "widths": (9, 12)}, "2 groups do not divide 9 channels"),
        ({"haar_gain": 0.0}, "haar_gain"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(change, message):
    with pytest.raises(RecipeError, match=message):
        SMALL.replace(**change)


@pytest.mark.parametrize(("attends", "count"), [(False, 17_571_432), (True, 32_260_712)])
def test_brainmints_default_has_17_million_parameters_and_32_with_attention(attends, count):
    config = WaveletFusionConfig(encoder_attention=attends, decoder_attention=attends)
    with torch.device("meta"):
        module = config.build()
    assert sum(parameter.numel() for parameter in module.parameters()) == count


# Its wavelets


def test_bands_are_those_of_our_transform_in_brainmints_order():
    x = volume(1, 2, 4, 6, 8)
    bands = dict(zip(SUBBANDS, analyse(x).chunk(8, dim=1), strict=True))
    found = built(CONFIGS["channels"])._analysed(x).chunk(8, dim=1)
    for name, band in zip(ORDER, found, strict=True):
        near(band, bands[name])


@pytest.mark.parametrize(("name", "gain"), [("two levels", 1), ("rounded", 8 * 0.3536**2)])
def test_their_inverse_gives_back_what_they_took_times_the_gain_squared(name, gain):
    module, x = built(CONFIGS[name]), volume(1, 1, 4, 6, 8)
    near(module._synthesised(module._analysed(x)), gain * x)


def test_the_second_wavelets_are_those_of_the_first_four_bands():
    module, x = built(SMALL), volume(1, 1, 8, 8, 8)
    seen: list[Tensor] = []
    module.inflow.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    module.encode(x)
    first = module._analysed(x)[:, :4]
    assert seen[0].shape == (1, 32, 2, 2, 2)
    near(seen[0], module._analysed(first))
    assert [name.count("H") for name in ORDER[:4]] == [0, 1, 1, 1]


def test_what_flows_out_is_added_to_the_first_four_bands():
    module, z = built(SMALL), volume(1, 3, 2, 2, 2)
    before = module._analysed(module.decode(z))
    for parameter in module.outflow.parameters():
        parameter.zero_()
    change = before - module._analysed(module.decode(z))
    assert bool(change[:, :4].abs().amax((0, 2, 3, 4)).min() > 1e-3)
    near(1 + change[:, 4:], torch.ones_like(change[:, 4:]))


# Any size, any pass


@every
def test_volumes_of_any_size_come_back_in_it(name):
    module = built(CONFIGS[name])
    mu, _ = module.encode(volume(1, module.config.in_channels, 10, 11, 15))
    found = module.decode(mu, shape=(10, 11, 15))
    assert found.shape == (1, module.config.coming_back, 10, 11, 15)


@every
def test_gradients_reach_every_weight(name):
    module = CONFIGS[name].build()
    made = module(volume(1, module.config.in_channels, 8, 8, 16, kind=torch.float32))
    loss = made.volume.square().mean() + made.mu.square().mean() + made.sigma.square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


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
    x = volume(1, module.config.in_channels, 3 * factor, factor, 2 * factor)
    h = module.encoded(x, None)
    near(module.encoded(x, Room(memory)), h)
    near(module.decoded(h, Room(memory)), module.decoded(h, None))


def test_it_keeps_to_a_bound_in_which_the_plain_pass_does_not_fit(monkeypatch, caplog):
    monkeypatch.setattr(lean, "SLAB", 2**16)
    bound, module = 20 * 2**20, built(SMALL.replace(widths=(32, 32), flow=16)).float()
    z = volume(1, 3, 32, 16, 16, kind=torch.float32)
    with torch.no_grad(), Live(module) as plain:
        module.decoded(z, None)
    with torch.no_grad(), Live(module) as live:
        module.decode(z, memory=bound)
    assert live.peak < bound < plain.peak / 1.5
    assert not caplog.records
