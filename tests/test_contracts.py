"""What holds for every representation, path and condition: a new one is tested once it exists."""

from collections.abc import Callable
from inspect import isabstract

import pytest
import torch

import brainweave.recipe  # noqa: F401 - registers every part
from brainweave.conditions import (
    Binary,
    Category,
    Choice,
    Condition,
    Continuous,
    Covariate,
    Images,
    Mask,
    Ordinal,
    Scalar,
    SetOf,
    Spacing,
    Value,
)
from brainweave.errors import ShapeError
from brainweave.generator import Generator, Values
from brainweave.part import Part
from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.paths import ProbabilityPath
from brainweave.recipe import Recipe
from brainweave.representations import Haar
from brainweave.representations.base import Representation

TIMES = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


def registered(kind: type[Part]) -> list[type[Part]]:
    ours = [p for p in Part.registry.values() if p.__module__.startswith("brainweave.")]
    return [p for p in ours if issubclass(p, kind) and not isabstract(p)]


REPRESENTATIONS = [
    *(part() for part in registered(Representation) if part.invertible),
    Haar(levels=2),
    Haar(approximation_scale=3.0),
    Haar(whiten=True, mean=tuple(range(8)), std=tuple(range(1, 9))),
]
OFFSETS = {FrequencyAdaptive: {"offsets": (0.7, -1.1)}}  # else measured on a cohort
PATHS = [part(**OFFSETS.get(part, {})) for part in registered(ProbabilityPath)]
NAMES = ("a", "b", "c")
COVARIATES: dict[str, tuple[Covariate, Value, Value]] = {  # and two different values of each
    "Scalar": (Scalar(name="age", low=20, high=80), (25.0,), (75.0,)),
    "Category": (Category(name="sex", values=("F", "M")), (0.0,), (1.0,)),
    "Continuous": (Continuous(name="age", low=20, high=80), (25.0, 25.0), (60.0, 80.0)),
    "Ordinal": (Ordinal(name="grade", values=NAMES), (0.0,), (2.0,)),
    "Choice": (Choice(name="site", values=NAMES), (0.0,), (2.0,)),
    "Binary": (Binary(name="tumour"), (0.0,), (1.0,)),
    "Spacing": (Spacing(), (1.0, 1.0, 1.0), (1.0, 1.0, 5.0)),
    "SetOf": (SetOf(name="diagnoses", values=NAMES), (0.0, 0.0, 0.0), (1.0, 0.0, 1.0)),
}

VOLUMES: dict[str, Condition] = {
    "Images": Images(modalities=("t2w", "flair")),
    "Mask": Mask(name="seg", labels=(1, 2)),
}


@pytest.fixture(params=REPRESENTATIONS, ids=str)
def representation(request: pytest.FixtureRequest) -> Representation:
    return request.param


@pytest.fixture(params=PATHS, ids=str)
def path(request: pytest.FixtureRequest) -> ProbabilityPath:
    return request.param


@pytest.fixture
def volume() -> torch.Tensor:
    return torch.randn(2, 1, 16, 8, 24, generator=torch.Generator().manual_seed(0))


def test_a_representation_inverts(representation: Representation, volume: torch.Tensor) -> None:
    back = representation.decode(representation.encode(volume))
    torch.testing.assert_close(back, volume, rtol=0, atol=3e-6)


def test_a_representation_has_the_shape_it_declares(
    representation: Representation, volume: torch.Tensor
) -> None:
    edges = [e // f for e, f in zip(volume.shape[2:], representation.factors, strict=True)]
    assert representation.encode(volume).shape == (2, representation.channels, *edges)


def test_a_representation_passes_gradients(
    representation: Representation, volume: torch.Tensor
) -> None:
    volume.requires_grad_()
    representation.decode(representation.encode(volume)).square().sum().backward()
    torch.testing.assert_close(volume.grad, 2 * volume.detach(), rtol=1e-4, atol=1e-4)


def test_a_representation_is_exact_under_autocast(
    representation: Representation, volume: torch.Tensor
) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        back = representation.decode(representation.encode(volume))
    torch.testing.assert_close(back, volume, rtol=0, atol=3e-6)


def test_a_path_leads_from_noise_to_data(path: ProbabilityPath) -> None:
    c = path.coefficients(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert c.alpha[0].max() < 0.01
    assert c.sigma[0].min() > 0.99
    assert c.alpha[1].min() == pytest.approx(1)
    assert c.sigma[1].max() == pytest.approx(0)


def test_a_path_never_turns_back(path: ProbabilityPath) -> None:
    c = path.coefficients(TIMES)
    assert (c.alpha / c.sigma).diff(dim=0).min() > 0


def test_a_path_states_its_derivatives(path: ProbabilityPath) -> None:
    between = TIMES[:-1] + 0.0003  # off DDPM's grid, where the slope is defined by convention
    step = 1e-6
    low, high = path.coefficients(between - step), path.coefficients(between + step)
    c = path.coefficients(between)
    for above, below, slope in zip(high[:2], low[:2], c[2:], strict=True):
        rise = (above - below) / (2 * step)
        torch.testing.assert_close(rise, slope, rtol=1e-4, atol=1e-6)


def test_a_path_trains_where_its_derivatives_are_finite(path: ProbabilityPath) -> None:
    ends = torch.tensor([0.0, 1 - 1e-7], dtype=torch.float64)
    times = path.training_times(ends)
    assert times.min() >= 0
    assert times.max() < 1
    assert all(c.isfinite().all() for c in path.coefficients(times))


def test_every_condition_has_an_example() -> None:
    assert {part.__name__ for part in registered(Condition)} == {*COVARIATES, *VOLUMES}


@pytest.fixture(scope="module", params=COVARIATES)
def heard(
    request: pytest.FixtureRequest,
    tiny_recipe: Recipe,
    randomised: Callable[[Recipe], Generator],
) -> tuple[Generator, str, Value, Value]:
    """A generator that hears one condition, its name and two values."""
    condition, first, second = COVARIATES[request.param]
    return randomised(tiny_recipe.replace(conditions=(condition,))), condition.name, first, second


Heard = tuple[Generator, str, Value, Value]


def drawn(generator: Generator, **values: Value) -> torch.Tensor:
    return generator.sample({name: torch.tensor([v]) for name, v in values.items()}, [3])


def absent(generator: Generator, name: str) -> Value:
    return generator.recipe.condition(name).absent


def test_a_condition_when_changed_changes_the_output(heard: Heard) -> None:
    generator, name, first, second = heard
    a, b = drawn(generator, **{name: first}), drawn(generator, **{name: second})
    assert (a - b).abs().max() > 0.01


def test_a_known_condition_differs_from_a_missing_one(heard: Heard) -> None:
    generator, name, first, _ = heard
    assert (drawn(generator, **{name: first}) - drawn(generator)).abs().max() > 0.01


def test_a_missing_value_is_the_null_of_condition_dropout(heard: Heard) -> None:
    generator, name, first, _ = heard
    none = torch.tensor([absent(generator, name)])
    missing = generator.signal({name: none}, {name: torch.tensor([True])})
    hidden = generator.signal({name: torch.tensor([first])}, {name: torch.tensor([False])})
    assert missing.vector is not None
    assert hidden.vector is not None
    assert torch.equal(missing.vector, hidden.vector)
    assert missing.tokens is not None
    assert hidden.tokens is not None
    assert torch.equal(missing.tokens, hidden.tokens)


def test_a_missing_value_and_an_absent_one_give_the_same_volume(heard: Heard) -> None:
    generator, name, _, _ = heard
    assert torch.equal(drawn(generator, **{name: absent(generator, name)}), drawn(generator))


def test_a_missing_value_leaves_every_gradient_finite(heard: Heard) -> None:
    generator, name, first, _ = heard
    values = {name: torch.tensor([absent(generator, name), first])}
    generator.loss(torch.zeros(2, 1, 16, 16, 16), values).mean().backward()
    gradients = [p.grad for p in generator.parameters() if p.grad is not None]
    generator.zero_grad(set_to_none=True)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_what_a_condition_shows_it_parses(heard: Heard) -> None:
    generator, name, first, second = heard
    condition = generator.recipe.condition(name)
    shown = [condition.show(value) for value in (first, second)]
    assert [condition.parse(word) for word in shown if word is not None] == [first, second]


@pytest.mark.parametrize("word", ["", "n/a", "NaN", "NA"])
def test_a_condition_knows_the_words_for_missing(heard: Heard, word: str) -> None:
    generator, name, _, _ = heard
    condition = generator.recipe.condition(name)
    assert condition.show(condition.parse(word)) is None


@pytest.fixture(scope="module", params=VOLUMES)
def seeing(
    request: pytest.FixtureRequest,
    tiny_recipe: Recipe,
    randomised: Callable[[Recipe], Generator],
) -> Generator:
    """A generator that hears one condition made of volumes."""
    return randomised(tiny_recipe.replace(conditions=(VOLUMES[request.param],)))


def shown(generator: Generator, seed: int, shape: tuple[int, int, int] = (16, 16, 16)) -> Values:
    """Volumes of all that it hears: labels 0 to 2, which are images as well."""
    source = torch.Generator().manual_seed(seed)
    draw = [torch.randint(0, 3, (1, 1, *shape), generator=source) for _ in generator.recipe.inputs]
    return dict(zip(generator.recipe.inputs, (d.float() for d in draw), strict=True))


def test_a_volume_when_changed_changes_the_output(seeing: Generator) -> None:
    a, b = (seeing.sample(shown(seeing, seed), [3]) for seed in (1, 2))
    assert (a - b).abs().max() > 0.01


def test_a_volume_that_is_there_differs_from_a_missing_one(seeing: Generator) -> None:
    there, missing = seeing.sample(shown(seeing, 1), [3]), seeing.sample({}, [3])
    assert (there - missing).abs().max() > 0.01


def test_a_missing_volume_is_the_null_of_condition_dropout(seeing: Generator) -> None:
    name = seeing.recipe.conditions[0].name
    values = shown(seeing, 1)
    gone = {key: torch.full_like(value, torch.nan) for key, value in values.items()}
    missing = seeing.signal(gone, {name: torch.tensor([True])})
    hidden = seeing.signal(values, {name: torch.tensor([False])})
    assert missing.planes is not None
    assert hidden.planes is not None
    assert torch.equal(missing.planes, hidden.planes)


def test_a_missing_volume_leaves_every_gradient_finite(seeing: Generator) -> None:
    values = {name: v.expand(2, *v.shape[1:]).clone() for name, v in shown(seeing, 1).items()}
    for value in values.values():
        value[0] = torch.nan
    seeing.loss(torch.zeros(2, 1, 16, 16, 16), values).mean().backward()
    gradients = [p.grad for p in seeing.parameters() if p.grad is not None]
    seeing.zero_grad(set_to_none=True)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_volumes_give_the_output_their_grid(seeing: Generator) -> None:
    made = seeing.sample(shown(seeing, 1, (24, 16, 8)), [3])
    assert made.shape == (1, 1, 24, 16, 8)
    with pytest.raises(ShapeError, match="multiple of 4"):
        seeing.sample(shown(seeing, 1, (24, 18, 8)), [3])
