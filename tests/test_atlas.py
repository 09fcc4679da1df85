"""The mean head given what is known, taken away before the process and put back after it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.atlas import Atlas
from brainweave.conditions import Binary, Category, Choice, Continuous, Ordinal, Scalar, SetOf
from brainweave.conditions.hiding import heard
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.errors import RecipeError
from brainweave.generator import Generator
from brainweave.maps import Maps
from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.guidance import moved
from brainweave.processes.paths import Rectified, Trigonometric
from brainweave.processes.process import Estimate
from brainweave.recipe import Recipe
from brainweave.representations import Haar, Voxel
from brainweave.space import Space
from brainweave.training.models import measured
from brainweave.training.run import train

AGE, SEX = Scalar(name="age", low=20, high=80), Category(name="sex", values=("F", "M"))
SHAPE = (3, 2, 2, 1)
NAN = float("nan")


def cohort(count: int = 12) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Coefficients that age moves, with noise, and what is known of whom."""
    source = torch.Generator().manual_seed(0)
    age = 20 + 60 * torch.rand(count, 1, generator=source)
    sex = (torch.arange(count) % 2).float()[:, None]
    data = 0.3 * torch.randn(count, *SHAPE, generator=source)
    data = data + age[:, :, None, None, None] / 30 + sex[:, :, None, None, None]
    age[3], sex[5] = NAN, NAN
    return data, {"age": age, "sex": sex}


def fitted(ridge: float = 0.0, whiten: float = 1.0, divisors: float = 1.0) -> Maps:
    data, values = cohort()
    maps = Maps(Atlas(ridge=ridge), (AGE, SEX), SHAPE)
    views = ([x[None]] for x in data)
    maps.fit(views, values, count=len(data), divisors=(divisors,) * 3, whiten=whiten)
    return maps


def design(values: dict[str, torch.Tensor]) -> np.ndarray:
    """As one would write it down: 1, age, its square, whether female; means where not known."""
    u = (values["age"].numpy()[:, 0] - 20) / 60
    female = np.where(np.isnan(v := values["sex"].numpy()[:, 0]), np.nan, v == 0)
    columns = np.stack([u, u**2, female], axis=1)
    columns -= np.nanmean(columns, axis=0)
    return np.concatenate([np.ones((len(u), 1)), np.nan_to_num(columns)], axis=1)


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_the_mean_is_that_of_least_squares(ridge: float) -> None:
    data, values = cohort()
    x, y = design(values), data.flatten(1).numpy()
    penalty = ridge * np.diag([0.0, 1, 1, 1])
    expected = x @ np.linalg.solve(x.T @ x + penalty, x.T @ y)
    keep = heard((AGE, SEX), len(data))
    np.testing.assert_allclose(fitted(ridge)(values, keep).flatten(1), expected, atol=2e-5)


@pytest.mark.parametrize(("whiten", "divisors"), [(1.0, 1.0), (0.5, 3.0), (0.0, 0.2)])
def test_what_is_left_is_scaled_as_the_representation_would(whiten, divisors) -> None:
    data, values = cohort()
    maps = fitted(whiten=whiten, divisors=divisors)
    rest = (data - maps(values, heard((AGE, SEX), len(data)))).transpose(0, 1).flatten(1)
    std = rest.square().mean(1).sqrt() * divisors
    wanted = std**whiten * (std ** (2 - 2 * whiten)).mean().sqrt()
    torch.testing.assert_close(maps.scale.flatten() * divisors, wanted, rtol=1e-4, atol=0)
    assert float((rest / maps.scale.view(3, 1)).square().mean()) == pytest.approx(1, rel=1e-4)


def test_every_voxel_is_scaled_by_what_is_left_around_it() -> None:
    data, values = cohort()
    data[:, 0, 0] = 2.0  # all heads are alike here
    maps = Maps(Atlas(ridge=0, scale="voxel", least=0.2), (AGE, SEX), SHAPE)
    maps.fit(([x[None]] for x in data), values, count=len(data), divisors=(1.0,) * 3, whiten=1.0)
    rest = data - maps(values, heard((AGE, SEX), len(data)))
    variance = rest.square().mean(0)  # a grid of 2 x 2 x 1: all voxels are around each other
    around = variance.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(maps.scale, around.sqrt().expand(SHAPE), rtol=1e-4, atol=0)

    wide = torch.cat([data, torch.full_like(data, 3.0).repeat(1, 1, 2, 1, 1)], dim=2)
    maps = Maps(Atlas(ridge=0, scale="voxel", least=0.2), (AGE, SEX), (3, 6, 2, 1))
    maps.fit(([x[None]] for x in wide), values, count=len(data), divisors=(1.0,) * 3, whiten=1.0)
    least = 0.2 * (around.flatten() / 3).sqrt()  # a third of the grid holds all that is left
    torch.testing.assert_close(
        maps.scale[:, 3:], least.view(3, 1, 1, 1).expand(3, 3, 2, 1), rtol=1e-4, atol=0
    )
    assert bool((maps.scale[:, :3] > 2 * maps.scale[:, 3:]).all())


def test_who_is_not_known_or_hidden_is_the_mean_of_the_cohort() -> None:
    maps, (data, values) = fitted(), cohort()
    nobody = {name: torch.full_like(value, NAN) for name, value in values.items()}
    keep = heard((AGE, SEX), len(data))
    mean = maps.maps[:1].expand(len(data), *SHAPE)
    torch.testing.assert_close(maps(nobody, keep), mean)
    torch.testing.assert_close(maps(values, heard((AGE, SEX), len(data), [])), mean)
    only = maps(values, heard((AGE, SEX), len(data), ["age"]))
    torch.testing.assert_close(only, maps({**values, "sex": nobody["sex"]}, keep))
    assert float((only - mean).abs().max()) > 0.1


def test_mirrored_views_count_once_and_make_a_symmetric_mean() -> None:
    data, values = cohort()
    maps = Maps(Atlas(ridge=0), (AGE, SEX), SHAPE)
    views = ([x[None], x[None].flip(2)] for x in data)
    maps.fit(views, values, count=len(data), divisors=(1.0,) * 3, whiten=1.0)
    torch.testing.assert_close(maps.maps, maps.maps.flip(2))
    torch.testing.assert_close(maps.maps, (fitted().maps + fitted().maps.flip(2)) / 2)


def test_without_covariates_it_is_the_mean() -> None:
    data, _ = cohort()
    maps = Maps(Atlas(), (), SHAPE)
    maps.fit(([x[None]] for x in data), {}, count=len(data), divisors=(1.0,) * 3, whiten=1.0)
    torch.testing.assert_close(maps({}, {})[0], data.mean(0))


def test_volumes_that_are_all_alike_leave_nothing() -> None:
    maps, same = Maps(Atlas(), (), SHAPE), torch.ones(1, *SHAPE)
    with pytest.raises(RecipeError, match="leaves nothing of a channel"):
        maps.fit(([same] for _ in range(3)), {}, count=3, divisors=(1.0,) * 3, whiten=1.0)


@pytest.mark.parametrize(
    ("covariate", "value", "expected"),
    [
        (AGE, [50.0], [0.5, 0.25]),
        (SEX, [0.0], [1.0]),
        (SEX, [1.0], [0.0]),
        (Continuous(name="age", low=0, high=100), [50.0, 50.0], [0.5, 0.25]),
        (Continuous(name="age", low=0, high=100), [0.0, 60.0], [0.3, 0.12]),
        (Continuous(name="field", low=1, high=100, log=True), [10.0, 10.0], [0.5, 0.25]),
        (Choice(name="site", values=("a", "b", "c")), [1.0], [0.0, 1.0]),
        (Choice(name="site", values=("a", "b", "c")), [2.0], [0.0, 0.0]),
        (Ordinal(name="level", values=("low", "middle", "high")), [1.0], [1.0, 0.0]),
        (Binary(name="tumour"), [1.0], [1.0]),
        (SetOf(name="signs", values=("x", "y")), [0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_regressors_of_every_kind(covariate, value, expected) -> None:
    found = covariate.regressors(torch.tensor([value]))
    torch.testing.assert_close(found, torch.tensor([expected]))


@pytest.mark.parametrize("path", [Rectified(), Trigonometric()])
def test_data_that_are_moved_have_moved_estimates(path) -> None:
    """Of normal data with mean m the best estimate is known; m = 0 moved by m is the same."""

    def best(mean: float):
        def denoise(x: torch.Tensor, t: torch.Tensor) -> Estimate:
            c = path.at(t, x)
            data = mean + 0.25 * c.alpha * (x - c.alpha * mean) / (0.25 * c.alpha**2 + c.sigma**2)
            noise = (x - c.alpha * data) / c.sigma
            return Estimate(data, noise, c.d_alpha * data + c.d_sigma * noise)

        return denoise

    x = torch.randn(2, 1, 2, 2, 2, dtype=torch.float64)
    for time in (0.1, 0.6):
        t = torch.tensor(time, dtype=torch.float64)
        found = moved(best(0.7), path, torch.full_like(x, 0.4))(x, t)
        for ours, expected in zip(found, best(0.3)(x, t), strict=True):
            torch.testing.assert_close(ours, expected)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("heads")
    return Cohort.open(write_phantoms(folder, 6, seed=3, shape=(16, 16, 16)))


@pytest.fixture(scope="module")
def run(tiny_recipe: Recipe, heads: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator that was trained on what differs."""
    recipe = tiny_recipe.replace(
        atlas=Atlas(), template=None, representation=Haar(levels=1, whiten=0.5)
    )
    folder = tmp_path_factory.mktemp("run") / "run"
    train(recipe, heads, folder, show=False)
    return folder


def test_before_step_1_every_head_is_the_mean_of_its_kind(tiny_recipe, heads) -> None:
    """The network says 0 at first; with data prediction that is the mean itself."""
    process = tiny_recipe.process.replace(prediction="data")
    recipe = tiny_recipe.replace(atlas=Atlas(), representation=Voxel(), process=process)
    generator = Generator(recipe).eval()
    dataset = recipe.dataset(heads)
    generator.load_state_dict(measured(generator.recipe, dataset), strict=False)
    values = {"age": torch.tensor([[30.0], [70.0]]), "sex": torch.tensor([[0.0], [NAN]])}
    made = generator.sample(values, [1, 2])
    space = Space(recipe.representation, generator.atlas, values, heard(recipe.conditions, 2))
    low, high = recipe.preprocess.intensity.range
    torch.testing.assert_close(made, space.decode(torch.zeros(2, 1, 16, 16, 16)).clamp(low, high))
    assert float((made[0] - made[1]).abs().max()) > 0.01
    told = generator.sample(values, [1, 2], listen="none")
    nobody = generator.sample({n: v * NAN for n, v in values.items()}, [1, 2])
    torch.testing.assert_close(told, nobody)


def test_what_was_measured_is_saved_with_the_weights(run: Path) -> None:
    generator = Generator.load(run)
    assert generator.atlas is not None
    assert generator.atlas.maps.shape == (4, 8, 8, 8, 8)
    assert float(generator.atlas.maps.abs().max()) > 0.1
    assert float(generator.atlas.scale.max()) < 1


def test_a_run_resumes_with_what_was_measured(run, tiny_recipe, heads, tmp_path) -> None:
    recipe = Generator.load(run).recipe
    short = recipe.unfitted().replace(training=recipe.training.replace(validate_every=2))
    found = train(short, heads, tmp_path / "again", show=False)
    expected = Generator.load(run).state_dict()
    for name, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def test_guidance_is_around_what_is_heard(run: Path) -> None:
    """A scale of 1 is no guidance, and hearing less is what not knowing is."""
    generator = Generator.load(run)
    sampling = generator.recipe.sampling
    values = {"age": torch.tensor([[30.0]]), "sex": torch.tensor([[1.0]])}
    nobody = {name: value * NAN for name, value in values.items()}
    free = generator.sample(nobody, [5], sampling)
    zero = generator.sample(values, [5], sampling.replace(guidance=0.0))
    torch.testing.assert_close(zero, free, rtol=0, atol=2e-4)
    one = generator.sample(values, [5], sampling.replace(guidance=1.0))
    assert float((one - free).abs().max()) > 1e-3


def test_what_an_atlas_cannot_go_with_is_refused(tiny_recipe: Recipe) -> None:
    path = FrequencyAdaptive(path=Rectified())
    with pytest.raises(RecipeError, match="an atlas needs noise to start from and a path that"):
        tiny_recipe.replace(atlas=Atlas(), process=tiny_recipe.process.replace(path=path))
