"""Our wavelet-flow autoencoder: what it starts as, that pieces are the whole, that it learns."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from brainweave import lean
from brainweave.data.phantom import phantom
from brainweave.errors import RecipeError, ShapeError
from brainweave.part import from_dict, to_dict
from brainweave.representations.autoencoders import WaveletFlow, WaveletFlowConfig
from brainweave.representations.autoencoders.positionwise import Plain, Slabs
from brainweave.representations.haar import analyse, synthesise

SMALL = WaveletFlowConfig(widths=(8, 12), flow=4, latent_channels=3)
CONFIGS = {
    "factor 4": SMALL,
    "factor 2": SMALL.replace(widths=(8,)),
    "factor 8": SMALL.replace(widths=(6, 8, 10), flow=3),
    "two channels": SMALL.replace(in_channels=2),
    "no blocks": SMALL.replace(blocks=0),
    "two blocks": SMALL.replace(blocks=2),
    "slices": SMALL.replace(axes=("ij", "ij")),
    "thick slices": SMALL.replace(axes=("ij", "ijk")),
    "odd": SMALL.replace(widths=(6, 8, 10), axes=("ijk", "k", "jk"), in_channels=2, flow=3),
    "wide": SMALL.replace(widths=(32, 32), flow=32),  # in pairs of slices
}
every = pytest.mark.parametrize("name", CONFIGS)


def built(config: WaveletFlowConfig) -> WaveletFlow:
    """Its weights random, those too that begin at zero."""
    torch.manual_seed(0)
    module = config.build().eval()
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return module


def volume(*shape: int, kind: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=kind)


def both(config: WaveletFlowConfig, edges: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """A volume, and latents of one."""
    latents = (edge // factor for edge, factor in zip(edges, config.factors, strict=True))
    return volume(1, config.in_channels, *edges), volume(1, config.latent_channels, *latents)


def near(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


# Its start


@every
def test_at_the_start_latents_are_coarse_coefficients_and_volumes_made_of_them(name):
    config = CONFIGS[name]
    x, *bands = [volume(1, config.in_channels, 16, 16, 16)]
    for axes in config.levels.halved:
        bands.append(analyse(bands[-1][:, : config.in_channels] if bands else x, axes=axes))
    module = config.build().eval().requires_grad_(False)
    kept = bands[-1] * module.encoder.straight.any(0).view(1, -1, 1, 1, 1)
    low = synthesise(kept, axes=config.levels.halved[-1])
    for axes in reversed(config.levels.halved[:-1]):
        rest = (2 ** sum(axes) - 1) * config.in_channels
        low = synthesise(torch.cat([low, low.new_zeros(1, rest, *low.shape[2:])], 1), axes=axes)
    torch.testing.assert_close(module.reconstruct(x), low, rtol=0, atol=1e-5)


def test_the_first_latent_begins_as_the_mean_of_a_block():
    x = volume(1, 1, 8, 8, 8)
    mu, _ = SMALL.build().encode(x)
    torch.testing.assert_close(mu[:, :1], nn.functional.avg_pool3d(x, 4), rtol=0, atol=1e-6)


def test_what_is_doubled_begins_without_a_checkerboard():
    up = SMALL.build().decoder.stages[0].up
    blocks = (
        up(volume(1, 12, 2, 2, 2)).unflatten(2, (2, 2)).unflatten(4, (2, 2)).unflatten(6, (2, 2))
    )
    assert torch.equal(blocks, blocks[:, :, :, :1, :, :1, :, :1].expand_as(blocks))


def test_each_latent_hears_little_noise_at_first():
    _, sigma = SMALL.build().encode(volume(1, 1, 8, 8, 8))
    assert 0 < float(sigma.detach().max()) < 0.01


# Sizes and settings


@every
@pytest.mark.parametrize("edges", [(30, 33, 47), (8, 9, 1)])
def test_volumes_of_any_size_come_back_in_it(name, edges):
    config = CONFIGS[name]
    x = volume(2, config.in_channels, *edges)
    module = built(config)
    with torch.no_grad():
        mu, sigma = module.encode(x)
        assert module.reconstruct(x).shape == x.shape
    latents = [math.ceil(e / f) for e, f in zip(edges, config.factors, strict=True)]
    assert mu.shape == sigma.shape == (2, config.latent_channels, *latents)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("factor 8", (8, 8, 8)),
        ("thick slices", (4, 4, 2)),
        ("odd", (2, 4, 8)),
        ("slices", (4, 4, 1)),
    ],
)
def test_each_level_halves_its_axes(name, factors):
    assert CONFIGS[name].factors == factors


@every
def test_a_config_comes_back_from_json(name):
    assert from_dict(to_dict(CONFIGS[name])) == CONFIGS[name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"axes": ("ij",)}, "1 axes for 2 widths"),
        ({"axes": ("ij", "xy")}, "'xy'"),
        ({"widths": (1, 4)}, "2 or more"),
        ({"widths": ()}, "widths"),
        ({"flow": 1}, "flow"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, said):
    with pytest.raises(RecipeError, match=said):
        SMALL.replace(**change)


def test_it_costs_what_the_specification_allows():
    config, x = WaveletFlowConfig(), torch.zeros(1, 1, 32, 32, 32, device="meta")
    with torch.device("meta"), torch.no_grad():
        module, flops = config.build().eval(), []
        for side, given in (
            (module.encode, x),
            (module.decode, x[:, :, :8, :8, :8].expand(1, 4, 8, 8, 8)),
        ):
            with FlopCounterMode(display=False) as counter:
                side(given)
            flops.append(counter.get_total_flops() / x.numel() / 1e6)
    assert flops[0] < 0.145
    assert flops[1] < 0.225


# Pieces are the whole


@every
@pytest.mark.parametrize("slab", [1, 20_000, 2**30], ids=["thin", "some", "whole"])
def test_slabs_are_the_plain_pass(name, slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    module = built(CONFIGS[name])
    x, z = both(module.config, (24, 16, 32))
    with torch.no_grad():
        for found, expected in zip(module.encoder(x, Slabs), module.encoder(x, Plain), strict=True):
            if isinstance(found, Tensor):
                near(found, expected)
        near(module.decoder(z, Slabs)[0], module.decoder(z, Plain)[0])


@torch.no_grad()
def test_a_batch_in_slabs_is_its_volumes(monkeypatch):
    module, x = built(SMALL), volume(2, 1, 8, 12, 8)
    whole = module.reconstruct(x)
    assert torch.equal(whole[1:], module.reconstruct(x[1:]))


@torch.no_grad()
def test_under_bf16_autocast_slabs_are_as_near_to_float32_as_the_plain_pass():
    module, x = built(CONFIGS["wide"]), volume(1, 1, 16, 16, 16)
    exact = module.encoder(x, Plain)[0]
    with torch.autocast("cpu", torch.bfloat16):
        plain, slabs = (module.encoder(x, how)[0] for how in (Plain, Slabs))
    assert float((plain - exact).norm()) > 0
    assert float((slabs - exact).norm()) < 1.3 * float((plain - exact).norm())


@torch.no_grad()
def test_what_begins_straight_is_exact_under_autocast():
    x, module = volume(1, 1, 8, 8, 8), SMALL.build().eval()
    expected = module.reconstruct(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module.reconstruct(x), expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", ["factor 4", "thick slices", "no blocks", "odd"])
def test_tiles_are_the_whole_and_any_bound_of_memory_gives_it(name):
    module = built(CONFIGS[name]).double()
    factors = module.config.factors
    edges = [f * (2 * h + 7) for f, h in zip(factors, module.decoder.halo, strict=True)]
    x, z = (
        each.double() for each in both(module.config, (edges[0], 2 * factors[1], 3 * factors[2]))
    )
    for side, given in (
        (module.encode, x),
        (lambda z, memory: (module.decode(z, memory=memory),), z),
    ):
        bound = module.needs((2 * module.decoder.halo[0] + 2, 2, 3), Slabs, torch.float64)
        for found, expected in zip(side(given, memory=bound), side(given, memory=0), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_bound_that_nothing_keeps_to_is_refused():
    with pytest.raises(ShapeError, match="raise the bound"), torch.no_grad():
        built(SMALL).encode(volume(1, 1, 16, 16, 16), memory=1000)


@every
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_halo_is_how_far_a_pass_looks_and_no_further(name, axis):
    module = built(CONFIGS[name]).double()
    factors, seen = module.config.factors, []
    for side, halo in ((0, module.encoder.halo[axis]), (1, module.decoder.halo[axis])):
        unit = factors[axis] if side == 0 else 1
        latents = [1, 1, 1]
        latents[axis] = 2 * halo // unit + 3
        edges = [n * f for n, f in zip(latents, factors, strict=True)]
        given = both(module.config, (edges[0], edges[1], edges[2]))[side].double().requires_grad_()
        out = module.encoder(given, Plain)[0] if side == 0 else module.decoder(given, Plain)[0]
        per = out.shape[2 + axis] // latents[axis]
        middle = out.narrow(2 + axis, (halo // unit + 1) * per, per)
        (slope,) = torch.autograd.grad(middle.square().sum(), given)
        reached = slope.movedim(2 + axis, 0).flatten(1).any(1).nonzero().flatten()
        seen.append((int(reached.min()) // unit, int(reached.max()) // unit))
        assert seen[-1] == (1, latents[axis] - 2)


@torch.no_grad()
def test_a_patch_is_encoded_as_within_the_whole():
    module, x = built(SMALL), volume(1, 1, 16, 96, 16)
    patch, whole = (module.encode(each)[0] for each in (x[:, :, :, 8:], x))
    margin = module.encoder.halo[1] // 4
    near(patch[:, :, :, margin:], whole[:, :, :, margin + 2 :])


# Training


@every
def test_every_parameter_learns(name):
    module = built(CONFIGS[name]).train()
    passed = module(volume(1, module.config.in_channels, 8, 8, 16))
    pairs = sum((made - seen).abs().mean() for made, seen in passed.wavelets)
    (passed.volume.square().mean() + passed.sigma.log().mean() + pairs).backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in module.parameters()
    )


@every
def test_wavelet_pairs_are_those_of_all_coarser_levels(name):
    config = CONFIGS[name]
    x = volume(1, config.in_channels, 8, 8, 16)
    pairs = built(config)(x).wavelets
    assert len(pairs) == len(config.widths) - 1
    low = analyse(x, axes=config.levels.halved[0])
    for (made, seen), axes in zip(pairs, config.levels.halved[1:], strict=True):
        low = analyse(low[:, : config.in_channels], axes=axes)
        assert torch.equal(seen, low)
        assert made.shape == seen.shape


def test_what_flows_out_is_in_the_volume():
    module = built(SMALL.replace(widths=(8, 10, 12)))
    nn.init.zeros_(module.decoder.head.weight)
    nn.init.zeros_(module.decoder.head.bias)
    passed = module(volume(1, 1, 16, 8, 8))
    first = synthesise(passed.wavelets[0][0])
    details = first.new_zeros(1, 7, *first.shape[2:])
    torch.testing.assert_close(passed.volume, synthesise(torch.cat([first, details], 1)))


def test_each_level_adds_to_what_the_coarser_ones_let_flow_out():
    module = built(SMALL.replace(widths=(8, 10, 12)))
    for stage in module.decoder.stages:
        nn.init.zeros_(stage.bands.weight)
        nn.init.zeros_(stage.bands.bias)
    (made, _), (coarsest, _) = module(volume(1, 1, 16, 8, 8)).wavelets
    assert coarsest.any()
    torch.testing.assert_close(made[:, :1], synthesise(coarsest))
    assert not made[:, 1:].any()


def test_a_pass_in_training_goes_through_one_draw():
    module, x = built(SMALL), volume(1, 1, 8, 8, 8)
    passed = module(x, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(passed.mu.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(passed.volume, module.decode(passed.mu + passed.sigma * noise))


@pytest.mark.parametrize("wavelets", [0.0, 0.1])
def test_sixty_steps_on_one_patch_of_a_head_halve_its_error(wavelets):
    torch.manual_seed(0)
    head = phantom(age=40.0, sex="F", seed=0, shape=(32, 32, 32))["t1w"].data
    x = head[None, None, 8:24, 8:24, 8:24] / 1000
    module = WaveletFlowConfig(widths=(32, 48), flow=8).build().train()
    update, errors = torch.optim.Adam(module.parameters(), lr=2e-3), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(61):
        passed = module(x, generator=generator)
        error = (passed.volume - x).abs().mean()
        errors.append(float(error.detach()))
        pairs = sum((made - seen).abs().mean() for made, seen in passed.wavelets)
        update.zero_grad()
        (error + wavelets * pairs).backward()
        update.step()
    assert max(errors) < 1.2 * errors[0]
    assert errors[-1] < 0.5 * errors[0]
