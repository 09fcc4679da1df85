"""Inference slab by slab: the numbers of the plain pass, and of each part of it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from brainweave import lean
from brainweave.conditions import Signal
from brainweave.cost import Live
from brainweave.networks import UNet, UNetConfig

BASE = UNetConfig(
    width=8,
    multipliers=(1, 2),
    blocks=2,
    heads=2,
    groups=4,
    attention_levels=(0,),
    condition_width=6,
)
FLOWLETS = BASE.replace(post_norm=True, resample_inside=True, skip_kernel=3)
CWDMS = BASE.replace(
    modulation="shift", resample_inside=True, attention_levels=(), middle_attention=False
)
CONFIGS = {
    "ours": BASE,
    "flowlets": FLOWLETS,
    "positions and gain": BASE.replace(positions=2, gain=True),
    "cwdms": CWDMS,
    "additive": CWDMS.replace(skips="additive", multipliers=(2, 1, 3)),
    "narrowing": CWDMS.replace(multipliers=(3, 1, 2)),
    "wide": CWDMS.replace(width=32, groups=32),  # in pairs of slices
    "kernel 5": CWDMS.replace(skip_kernel=5),
}
every = pytest.mark.parametrize("name", CONFIGS)
thickness = pytest.mark.parametrize("slab", [1, 20_000, 2**30], ids=["thin", "some", "whole"])


def network(name: str) -> UNet:
    torch.manual_seed(0)
    module = CONFIGS[name].build(5, 3).eval()
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return module


def volume(*shape: int, kind: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=kind)


def signal() -> Signal:
    return Signal(volume(2, 6), volume(2, 3, 6), volume(2, 2, 12, 4, 8))


def ran(module: UNet, monkeypatch: pytest.MonkeyPatch, *, lean_pass: bool) -> Tensor:
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr(lean, "applies", lambda *_: lean_pass)
        return module(volume(2, 3, 12, 4, 8), torch.tensor([0.2, 0.7]), signal())


# The whole pass


@every
@thickness
def test_its_output_is_that_of_the_plain_pass(name, slab, monkeypatch):
    module = network(name)
    monkeypatch.setattr(lean, "SLAB", slab)
    expected = ran(module, monkeypatch, lean_pass=False)
    output = ran(module, monkeypatch, lean_pass=True)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=2e-5 * float(expected.std()))
    assert output.is_contiguous()


@every
def test_in_double_precision_nothing_but_rounding_remains(name, monkeypatch):
    module = network(name).double()
    x, clock = volume(1, 3, 12, 4, 8).double(), torch.tensor([0.2], dtype=torch.float64)
    said = Signal(*(volume(1, *shape).double() for shape in ((6,), (3, 6), (2, 12, 4, 8))))
    outputs = []
    for chosen in (True, False):
        monkeypatch.setattr(lean, "applies", lambda *_, chosen=chosen: chosen)
        with torch.no_grad():
            outputs.append(module(x, clock, said))
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)


@every
def test_under_bf16_autocast_it_is_as_near_to_float32_as_the_plain_pass(name, monkeypatch):
    module = network(name)
    exact = ran(module, monkeypatch, lean_pass=False)
    with torch.autocast("cpu", torch.bfloat16):
        plain = ran(module, monkeypatch, lean_pass=False).float()
        output = ran(module, monkeypatch, lean_pass=True).float()
    error, allowed = (output - exact).norm(), (plain - exact).norm()
    assert error < 1.3 * allowed
    assert error / exact.norm() < 0.03


@every
def test_what_it_is_given_stays_as_it_is(name, monkeypatch):
    module, x, heard = network(name), volume(2, 3, 12, 4, 8), signal()
    monkeypatch.setattr(lean, "applies", lambda *_: True)
    with torch.no_grad():
        module(x, torch.tensor([0.2, 0.7]), heard)
    assert torch.equal(x, volume(2, 3, 12, 4, 8))
    assert torch.equal(heard.planes, signal().planes)


def peak(module: UNet, x: Tensor) -> int:
    with Live(module) as live:
        module(x, torch.zeros(1), Signal())
    return live.peak


def test_it_holds_about_half_of_what_the_plain_pass_holds(monkeypatch):
    monkeypatch.setattr(lean, "SLAB", 2**19)
    with FakeTensorMode(), torch.no_grad():
        module = CONFIGS["wide"].replace(blocks=1).build(32, 8).eval()
        x = torch.zeros(1, 32, 32, 32, 32)
        small = peak(module, x)
        monkeypatch.setattr(lean, "applies", lambda *_: False)
        assert small < 0.55 * peak(module, x)


def test_it_is_for_large_volumes_on_a_cpu_without_gradients():
    module = network("cwdms")
    large, little = torch.zeros(1, 5, 88, 88, 88), torch.zeros(1, 5, 8, 8, 8)
    assert not lean.applies(module, large, 8)
    with torch.no_grad():
        assert lean.applies(module, large, 8)
        assert not lean.applies(module, little, 8)
        assert lean.applies(module, little)
        assert not lean.applies(module, large.to("meta"), 8)
        assert not lean.applies(module.train(), large, 8)


# Its parts


def convolution(channels: tuple[int, int], size: int = 3) -> nn.Conv3d:
    torch.manual_seed(0)
    return nn.Conv3d(*channels, size, padding=size // 2).double()


def parts(*channels: int) -> list[Tensor]:
    return [volume(1, c, 7, 4, 6, kind=torch.float64) + 5 * i for i, c in enumerate(channels)]


@thickness
def test_a_measured_norm_is_group_norm_though_groups_lie_across_parts(slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    norm = nn.GroupNorm(3, 9).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    both = parts(5, 4)
    affine = lean.measured(both, norm)
    scale, shift = (each[None, :, None, None, None] for each in affine)
    torch.testing.assert_close(torch.cat(both, 1) * scale + shift, norm(torch.cat(both, 1)))


@torch.no_grad()
def test_a_norm_is_measured_well_far_from_zero():
    x, norm = volume(1, 8, 16, 16, 16) + 1000, nn.GroupNorm(4, 8)
    exact = norm.double()(x.double())
    scale, shift = (e[None, :, None, None, None] for e in lean.measured([x], norm))
    torch.testing.assert_close((x * scale + shift).double(), exact, rtol=0, atol=2e-3)


@pytest.mark.parametrize("halo", [0, 1, 2, 3])
@thickness
def test_slabs_overlap_by_their_halo_and_end_in_zeros(halo, slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    both = parts(2, 3)
    padded = F.pad(torch.cat(both, 1), (0, 0, 0, 0, halo, halo))
    where = lean.bounds(5, both[0])
    for (start, stop), z in zip(where, lean.slabs(both, where, halo=halo), strict=True):
        assert torch.equal(z, padded[:, :, start : stop + 2 * halo])


@pytest.mark.parametrize(("channels", "size"), [((5, 3), 3), ((5, 3), 1), ((40, 32), 3)])
@thickness
@torch.no_grad()
def test_a_convolution_of_slabs_is_that_of_the_whole(channels, size, slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    layer, both = convolution(channels, size), parts(2, channels[0] - 2)
    torch.testing.assert_close(lean.convolve(both, layer), layer(torch.cat(both, 1)))


@pytest.mark.parametrize("small", [0, 2**30], ids=["in 3D", "in pairs"])
@torch.no_grad()
def test_few_channels_are_convolved_either_way(small, monkeypatch):
    monkeypatch.setattr(lean, "SMALL", small)
    layer, x = convolution((5, 3)), volume(1, 5, 8, 4, 6, kind=torch.float64)
    torch.testing.assert_close(lean.convolve([x], layer), layer(x))


class VoxelNorm(nn.LayerNorm):
    """Over the channels of every voxel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


NORMS = {"of all": lambda channels: nn.GroupNorm(1, channels), "of each voxel": VoxelNorm}


def normed(kind: str, channels: int) -> nn.Module:
    norm = NORMS[kind](channels).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("kind", NORMS)
@thickness
@torch.no_grad()
def test_a_norm_of_all_is_measured_and_one_of_each_voxel_taken_in_the_slab(kind, slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    layer, both, norm = convolution((5, 3)), parts(2, 3), normed(kind, 5)
    found = lean.convolve(both, layer, norm=lean.ready(both, norm))
    torch.testing.assert_close(found, layer(F.silu(norm(torch.cat(both, 1)))))


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize(("channels", "out"), [((6,), 6), ((6,), 4), ((2, 4), 6), ((6, 5), 4)])
@thickness
@torch.no_grad()
def test_a_residual_block_of_slabs_is_that_of_the_whole(kind, channels, out, slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    seen, each = sum(channels), parts(*channels)
    first = normed(kind, seen), convolution((seen, out))
    second = normed(kind, out), convolution((out, out))
    skip = None if seen == out else convolution((seen, out), size=1)
    x = torch.cat(each, 1)
    h = second[1](F.silu(second[0](first[1](F.silu(first[0](x))))))
    expected = (x if skip is None else skip(x)) + 0.3 * h
    torch.testing.assert_close(lean.residual(each, first, second, skip, 0.3), expected)


def test_where_nothing_is_cast_activations_keep_their_type():
    assert lean.working(torch.zeros(1, dtype=torch.float64)) == torch.float64
    assert lean.working(torch.zeros(1, device="meta")) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert lean.working(torch.zeros(1)) == torch.bfloat16


@thickness
@torch.no_grad()
def test_doubling_and_then_convolving_is_one_transposed_convolution(slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    layer, x = convolution((5, 3)), parts(5)[0]
    expected = layer(F.interpolate(x, scale_factor=2))
    torch.testing.assert_close(lean.convolve([x], layer, doubled=True), expected)


@thickness
@torch.no_grad()
def test_halving_is_pooling(slab, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", slab)
    both = [part[:, :, :6] for part in parts(2, 3)]
    torch.testing.assert_close(lean.halved(both), F.avg_pool3d(torch.cat(both, 1), 2))
