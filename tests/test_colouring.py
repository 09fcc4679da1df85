"""Noise with the correlations of given fields."""

import torch
import torch.nn.functional as F

from brainweave import colouring as module
from brainweave.atlas import Atlas
from brainweave.colouring import colouring
from brainweave.maps import Maps


def fields(count: int, source: torch.Generator) -> torch.Tensor:
    """Two channels: one smooth along the first axis, the other half the first, one place on."""
    white = torch.randn(count, 2, 12, 10, 8, generator=source)
    smooth = (white[:, :1] + 0.8 * white[:, :1].roll(1, 2)) / 1.64**0.5
    second = (smooth.roll(1, 3) + white[:, 1:]) / 2**0.5
    return torch.cat([smooth, second], dim=1)


def correlations(x: torch.Tensor) -> list[float]:
    """Along the first axis, across channels at the same place, one on and one back."""
    x = x[..., 2:-2, 2:-2, 2:-2]
    a, b = x[:, 0], x[:, 1]
    each = (
        (a[:, 1:], a[:, :-1]), (a[:, :, 1:], a[:, :, :-1]), (a, b),
        (a[:, :, :-1], b[:, :, 1:]), (a[:, :, 1:], b[:, :, :-1]),
    )  # fmt: skip
    return [float((p * q).mean() / (p.square().mean() * q.square().mean()).sqrt()) for p, q in each]


def test_coloured_noise_has_the_correlations_of_the_fields() -> None:
    """In a window of two places; which way channels follow each other counts. The window takes a
    quarter of the correlation of neighbours."""
    source = torch.Generator().manual_seed(0)
    amplitude = 0.5 + torch.rand(2, 12, 10, 8, generator=source)
    kernel = colouring(amplitude * fields(40, source), amplitude, reach=2)
    made = F.conv3d(torch.randn(400, 2, 12, 10, 8, generator=source), kernel, padding=2)
    inside = made[..., 2:-2, 2:-2, 2:-2]
    torch.testing.assert_close(inside.var((0, 2, 3, 4)), torch.ones(2), rtol=0, atol=0.02)
    wanted = [0.75 * 0.8 / 1.64, 0.0, 0.0, 0.75 / 2**0.5, 0.0]
    torch.testing.assert_close(
        torch.tensor(correlations(made)), torch.tensor(wanted), rtol=0, atol=0.06
    )


def test_without_reach_only_channels_are_correlated() -> None:
    source = torch.Generator().manual_seed(0)
    white = torch.randn(60, 2, 12, 10, 8, generator=source)
    both = torch.stack([white[:, 0], (0.6 * white[:, 0] + 0.8 * white[:, 1])], dim=1)
    kernel = colouring(both, torch.ones(2, 12, 10, 8), reach=0)
    covariance = kernel[..., 0, 0, 0] @ kernel[..., 0, 0, 0].T
    wanted = torch.tensor([[1.0, 0.6], [0.6, 1.0]])
    torch.testing.assert_close(covariance, wanted, rtol=0, atol=0.02)


def test_what_modes_leave_is_coloured() -> None:
    """Heads that differ by one thing in common and by a smooth field of their own."""
    source = torch.Generator().manual_seed(3)
    common = 5 * torch.randn(1, 2, 12, 10, 8, generator=source)
    data = torch.randn(40, 1, 1, 1, 1, generator=source) * common + fields(40, source)
    found = list[float]()
    for reach in (None, 2):
        maps = Maps(Atlas(modes=1, reach=reach), (), data.shape[1:])
        views = ([x[None]] for x in data)
        maps.fit(views, {}, count=40, divisors=(1.0,) * 2, whiten=0.0)
        maps.modes.zero_()
        sources = [torch.Generator().manual_seed(seed) for seed in range(200)]
        at = torch.tensor(1.0), torch.tensor(0.0)
        made = maps.begin(
            torch.zeros(200, *data.shape[1:]), *at, sources=sources, values={}, keep={}
        )
        found.append(correlations(made / maps.rest)[0])
    assert abs(found[0]) < 0.03
    assert abs(found[1] - 0.75 * 0.8 / 1.64) < 0.06


def test_fields_are_normal_and_correlate_as_a_gaussian() -> None:
    source = torch.Generator().manual_seed(0)
    x = module.fields(3000, (9, 8, 7), 1.5, source)
    torch.testing.assert_close(x.var(0), torch.ones(9, 8, 7), rtol=0, atol=0.12)  # 4.6 sd
    assert float(x.mean(0).abs().max()) < 0.08
    for axis, distance in ((1, 1), (2, 3), (3, 5)):
        edge = x.shape[axis] - distance
        found = (x.narrow(axis, 0, edge) * x.narrow(axis, distance, edge)).mean()
        wanted = torch.tensor(-((distance / 3) ** 2)).exp()
        torch.testing.assert_close(found, wanted, rtol=0, atol=0.03)


def test_the_kernel_that_others_follow_is_found() -> None:
    """A field that is a convolution of two others and some noise."""
    source = torch.Generator().manual_seed(0)
    seen = torch.randn(20, 2, 10, 9, 8, generator=source)
    kernel = torch.randn(3, 2, 3, 3, 3, generator=source)
    told = F.conv3d(seen, kernel, padding=1)
    found = module.following(seen, told + 0.1 * torch.randn(told.shape, generator=source), 1)
    torch.testing.assert_close(found, kernel, rtol=0, atol=0.02)
    only = module.following(seen, told, 0)
    torch.testing.assert_close(only[..., 0, 0, 0], kernel[..., 1, 1, 1], rtol=0, atol=0.15)
