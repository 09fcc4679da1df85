"""What every representation keeps to; a new one is tested once it is in the package."""

from inspect import isabstract

import pytest
import torch
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.part import Part, from_dict, to_dict
from brainweave.representations import Haar, Representation

KINDS = [
    part
    for part in Part.registry.values()
    if issubclass(part, Representation) and not isabstract(part) and part.invertible
]
every = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def volumes() -> list[Tensor]:
    """A cohort whose bands have means and spreads of their own."""
    ramp = torch.linspace(-1, 1, 8).view(1, 1, 8, 1, 1)
    source = torch.Generator().manual_seed(1)
    return [0.5 * torch.randn(2, 1, 8, 8, 8, generator=source) + ramp for _ in range(3)]


@pytest.fixture
def fitted(kind, volumes) -> Representation:
    return kind(whiten=True).fit(volumes)


@every
def test_it_maps_volumes_to_its_channels_and_edges(kind, volumes):
    representation = kind()
    edges = [e // f for e, f in zip(volumes[0].shape[2:], representation.factors, strict=True)]
    assert representation.encode(volumes[0]).shape == (2, representation.channels, *edges)


@every
def test_it_inverts(kind, volumes):
    back = kind().decode(kind().encode(volumes[0]))
    torch.testing.assert_close(back, volumes[0], rtol=0, atol=2e-6)


@every
def test_it_inverts_when_whitened(fitted, volumes):
    back = fitted.decode(fitted.encode(volumes[0]))
    torch.testing.assert_close(back, volumes[0], rtol=0, atol=2e-6)


@every
def test_it_stays_in_float32_under_autocast(kind, fitted, volumes):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fitted.encode(volumes[0]).dtype == torch.float32
        assert fitted.decode(fitted.encode(volumes[0]).bfloat16()).dtype == torch.float32


@every
def test_its_gradients_are_right(kind):
    representation = kind()
    edge = 2 * max(representation.factors)
    x = torch.randn(1, 1, edge, edge, edge, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: representation.decode(representation.encode(v)), x)


@every
def test_whitening_gives_every_channel_of_the_cohort_mean_0(fitted, volumes):
    z = torch.cat([fitted.encode(volume) for volume in volumes]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(fitted.channels), rtol=0, atol=1e-5)


@every
def test_whitening_gives_every_channel_of_the_cohort_deviation_1(fitted, volumes):
    z = torch.cat([fitted.encode(volume) for volume in volumes]).transpose(0, 1).flatten(1)
    ones = torch.ones(fitted.channels)
    torch.testing.assert_close(z.std(1, correction=0), ones, rtol=0, atol=1e-4)


@every
def test_what_is_fitted_is_not_fitted_again(fitted, volumes):
    assert fitted.fit([10 * volume for volume in volumes]) == fitted


@every
def test_without_whitening_nothing_is_fitted(kind, volumes):
    assert kind().fit(volumes) == kind()


@every
def test_statistics_travel_through_json(fitted):
    assert from_dict(to_dict(fitted)) == fitted


@every
def test_a_constant_cohort_cannot_be_whitened(kind):
    with pytest.raises(RecipeError, match="constant"):
        kind(whiten=True).fit([torch.ones(1, 1, 8, 8, 8)])


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ({"mean": (0.0,) * 7, "std": (1.0,) * 7}, "7 values for 8"),
        ({"mean": (0.0,) * 8}, "together"),
        ({"mean": (0.0,) * 8, "std": (0.0,) * 8}, "positive"),
    ],
)
def test_statistics_that_make_no_sense_are_refused(statistics, message):
    with pytest.raises(RecipeError, match=message):
        Haar(whiten=True, **statistics)
