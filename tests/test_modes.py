"""The modes of an atlas: x_t drawn as from a normal distribution, where a process may begin."""

import pytest
import torch

from brainweave.atlas import Atlas
from brainweave.conditions.covariates import Scalar
from brainweave.conditions.hiding import heard
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.errors import RecipeError
from brainweave.generator import Generator
from brainweave.maps import Maps
from brainweave.membership import losses
from brainweave.processes import grids
from brainweave.processes.paths import DDPM, Rectified
from brainweave.processes.process import Estimate
from brainweave.processes.samplers import SAMPLERS
from brainweave.recipe import Recipe
from brainweave.representations import Haar
from brainweave.training.engine import Engine
from brainweave.training.models import measured
from brainweave.training.validation import validation_loss
from brainweave.values import filled

SHAPE = (3, 2, 2, 1)
AGE = Scalar(name="age", low=0, high=1)


def cohort(count: int) -> torch.Tensor:
    """Coefficients that differ in two ways in common, and each by itself."""
    source = torch.Generator().manual_seed(1)
    ways = torch.randn(2, *SHAPE, generator=source) * torch.tensor([3.0, 2.0]).view(2, 1, 1, 1, 1)
    own = 0.2 * torch.randn(count, *SHAPE, generator=source)
    return torch.tensordot(torch.randn(count, 2, generator=source), ways, 1) + own + 0.5


def fit(maps: Maps, views: list[list[torch.Tensor]], values: dict[str, torch.Tensor]) -> None:
    maps.fit(views, values, count=len(views), divisors=(1.0,) * 3, whiten=1.0)


def fitted(data: torch.Tensor, **atlas: object) -> Maps:
    maps = Maps(Atlas(ridge=0, **atlas), (), SHAPE)  # type: ignore[arg-type]
    fit(maps, [[x[None]] for x in data], {})
    return maps


def test_modes_are_the_first_principal_components() -> None:
    data = cohort(40)
    maps = fitted(data, modes=2)
    residual = ((data - data.mean(0)) / maps.scale).flatten(1).double()
    covariance = residual.T @ residual / len(data)
    values, vectors = torch.linalg.eigh(covariance)
    best = (vectors[:, -2:] * values[-2:]) @ vectors[:, -2:].T
    found = maps.modes.flatten(1).double()
    torch.testing.assert_close(found.T @ found, best, rtol=0, atol=1e-5)
    left = torch.diagonal(covariance - best).sqrt()
    torch.testing.assert_close(maps.rest.flatten().double(), left, rtol=0, atol=1e-4)


def test_every_view_counts_in_the_modes() -> None:
    """With as many modes as there are directions the covariance of all views comes back."""
    data = cohort(40)
    maps = Maps(Atlas(ridge=0, modes=12), (), SHAPE)
    fit(maps, [[x[None], x[None].flip(2)] for x in data], {})
    views = torch.cat([data, data.flip(2)])
    residual = ((views - views.mean(0)) / maps.scale).flatten(1)
    found = maps.modes.flatten(1)
    torch.testing.assert_close(found.T @ found, residual.T @ residual / 80, rtol=0, atol=1e-4)
    assert float(maps.rest.max()) < 1e-2


def test_modes_beyond_the_number_of_views_are_nothing() -> None:
    """Three heads differ in two ways: the others are 0, and nothing is left."""
    few = fitted(cohort(3), modes=5)
    assert [bool(mode.abs().max() > 1e-3) for mode in few.modes] == [True, True, *[False] * 3]
    assert float(few.rest.max()) < 1e-3


def test_at_most_so_many_volumes_are_shown_to_the_modes(monkeypatch) -> None:
    """Chosen at random, so that none of several contrasts in turn is left out."""
    monkeypatch.setattr("brainweave.maps.VOLUMES", 10)
    data = cohort(40)
    data[1::2] = -data[1::2]
    few = fitted(data, modes=12)
    assert sum(bool(mode.abs().max() > 1e-3) for mode in few.modes) <= 10
    both = fitted(data, modes=2).modes.flatten(1)
    monkeypatch.setattr("brainweave.maps.VOLUMES", 40)
    whole = fitted(data, modes=2).modes.flatten(1)
    assert float(torch.cosine_similarity(both[0], whole[0], dim=0).abs()) > 0.9


def test_who_is_not_known_differs_as_in_the_cohort() -> None:
    """z of every variance of 20,000 draws: none of age's where it is known, all of it where not."""
    data, age = cohort(40), torch.linspace(0, 1, 40)[:, None]
    data = data + 4 * age[:, :, None, None, None]
    maps = Maps(Atlas(ridge=0, modes=2), (AGE,), SHAPE)
    fit(maps, [[x[None]] for x in data], {"age": age})
    count = 20_000
    sources = [torch.Generator().manual_seed(seed) for seed in range(count)]
    noise, at = torch.zeros(count, *SHAPE), (torch.tensor(1.0), torch.tensor(0.0))
    for value, other in ((0.5, 0.0), (float("nan"), 1.0)):
        values = {"age": torch.full((count, 1), value)}
        x = maps.begin(noise, *at, sources=sources, values=values, keep=heard((AGE,), count))
        moved = (maps({"age": age}, heard((AGE,), 40)) - data.mean(0)) / maps.scale
        wanted = maps.modes.square().sum(0) + maps.rest**2 + other * moved.square().mean(0)
        assert float((x.var(0) / wanted - 1).abs().max()) < 4.5 * (2 / count) ** 0.5


def test_only_leading_channels_have_modes_and_hear() -> None:
    data, age = cohort(40), torch.linspace(0, 1, 40)[:, None]
    data = data + age[:, :, None, None, None]
    maps = Maps(Atlas(ridge=0, leading=2, modes=2), (AGE,), SHAPE)
    fit(maps, [[x[None]] for x in data], {"age": age})
    assert maps.modes.shape == (2, 2, 2, 2, 1)
    mean = maps({"age": torch.tensor([[0.0], [1.0]])}, heard((AGE,), 2))
    torch.testing.assert_close(mean[:, 2:], data.mean(0)[2:].expand(2, 1, 2, 2, 1))
    assert float((mean[0, :2] - mean[1, :2]).abs().min()) > 0.2
    residual = (data[:, 2:] - data.mean(0)[2:]) / maps.scale[2:]
    torch.testing.assert_close(maps.rest[2:], residual.square().mean(0).sqrt())
    whole = Maps(Atlas(ridge=0), (AGE,), SHAPE)
    fit(whole, [[x[None]] for x in data], {"age": age})
    torch.testing.assert_close(maps.maps, whole.maps[:, :2])


def draws(maps: Maps, seeds: list[int], alpha: float, sigma: float) -> torch.Tensor:
    sources = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = torch.stack([torch.randn(SHAPE, generator=source) for source in sources])
    at = torch.tensor(alpha), torch.tensor(sigma)
    return maps.begin(noise, *at, sources=sources, values={}, keep={})


def test_what_is_drawn_has_the_covariance_of_data_and_noise() -> None:
    """z of every entry of the covariance matrix of 20,000 draws against the one in closed form."""
    maps, count = fitted(cohort(40), modes=2), 20_000
    x = draws(maps, list(range(count)), 0.6, 0.8).flatten(1).double()
    modes = maps.modes.flatten(1).double()
    wanted = 0.36 * (modes.T @ modes + torch.diag(maps.rest.flatten().double() ** 2))
    wanted += 0.64 * torch.eye(12, dtype=torch.float64)
    variance = torch.diagonal(wanted)
    spread = ((variance[:, None] * variance + wanted**2) / count).sqrt()
    assert float(((x.T @ x / count - wanted) / spread).abs().max()) < 4.5
    assert float((x.mean(0) / (variance / count).sqrt()).abs().max()) < 4.5


def test_local_modes_have_the_covariance_of_modes_where_places_are_near() -> None:
    """Times a share in common and a Gaussian of the distance: z of every entry of 20,000 draws."""
    local, common, count = 1.2, 0.25, 20_000
    maps = fitted(cohort(40), modes=2, local=local, common=common)
    x = draws(maps, list(range(count)), 1.0, 0.0).flatten(1).double()
    modes = maps.modes.flatten(1).double()
    places = torch.cartesian_prod(*(torch.arange(float(edge)) for edge in SHAPE))[:, 1:]
    apart = torch.cdist(places, places)
    share = common + (1 - common) * torch.exp(-((apart / (2 * local)) ** 2)).double()
    wanted = share * (modes.T @ modes) + torch.diag(maps.rest.flatten().double() ** 2)
    variance = torch.diagonal(wanted)
    spread = ((variance[:, None] * variance + wanted**2) / count).sqrt()
    z = (x.T @ x / count - wanted) / spread
    assert float(z.abs().max()) < 4.5


def test_other_channels_follow_the_leading_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """z of every entry of the covariance of 20,000 draws: the last channel goes with the first two
    where it is, as in the cohort, and by itself."""
    monkeypatch.setattr("brainweave.maps.VOLUMES", 2000)
    monkeypatch.setattr("brainweave.maps.COLOURING", 2000)
    source, count = torch.Generator().manual_seed(4), 20_000
    data = torch.randn(2000, *SHAPE, generator=source)
    data[:, 2] = 0.5 * data[:, 2] + 1.5 * data[:, 0] - data[:, 1]
    maps = fitted(data, leading=2, modes=8, detail=0)
    residual = (data - data.mean(0)) / maps.scale
    x = draws(maps, list(range(count)), 1.0, 0.0)
    found, wanted = (v.flatten(1).T @ v.flatten(1) / len(v) for v in (x, residual))
    variance = torch.diagonal(wanted)
    spread = ((variance[:, None] * variance + wanted**2) * (1 / count + 1 / 2000)).sqrt()
    assert float(((found - wanted) / spread).abs().max()) < 4.5
    lone = fitted(data, leading=2, modes=8)
    apart = draws(lone, list(range(count)), 1.0, 0.0)
    assert abs(float((apart[:, 0] * apart[:, 2]).mean())) < 0.03 < float((x[:, 0] * x[:, 2]).mean())


def test_detail_follows_something() -> None:
    with pytest.raises(RecipeError, match=r"give atlas\.leading and modes"):
        Atlas(modes=2, detail=1)


def test_a_seed_names_what_is_drawn() -> None:
    maps = fitted(cohort(40), modes=2, local=1.0)
    both, alone = draws(maps, [3, 4], 0.5, 0.5), draws(maps, [4], 0.5, 0.5)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=0)


def test_a_process_that_begins_later_ends_where_the_whole_one_does() -> None:
    """Normal data with their exact denoiser: from t = 0.4 on in the same number of steps the end
    has the covariance of data, and nearer than from noise."""
    maps, path, steps = fitted(cohort(40), modes=2), Rectified(), 6
    modes = maps.modes.flatten(1).double()
    covariance = modes.T @ modes + torch.diag(maps.rest.flatten().double() ** 2)

    def denoise(x: torch.Tensor, t: torch.Tensor) -> Estimate:
        alpha, sigma = float(t), 1 - float(t)
        seen = alpha**2 * covariance + sigma**2 * torch.eye(12, dtype=torch.float64)
        data = x @ torch.linalg.solve(seen, alpha * covariance)
        noise = (x - alpha * data) / sigma
        return Estimate(data, noise, data - noise)

    def off(first: float) -> float:
        x = draws(maps, list(range(4000)), first, 1 - first).flatten(1).double()
        times = grids.uniform(steps, first)
        end = SAMPLERS["euler"](denoise, x, times, path=path)
        return float((end.T @ end / len(end) - covariance).norm() / covariance.norm())

    assert off(0.4) < 0.06
    assert off(0.4) < off(0.0) / 2


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("heads")
    return Cohort.open(write_phantoms(folder, 6, seed=3, shape=(16, 16, 16)))


@pytest.fixture(scope="module")
def beginning(tiny_recipe: Recipe) -> Recipe:
    process = tiny_recipe.process.replace(begin=0.3)
    atlas = Atlas(leading=1, modes=4)
    return tiny_recipe.replace(atlas=atlas, process=process, representation=Haar(whiten=0.5))


def test_a_model_that_begins_later_is_measured_and_draws(beginning: Recipe, heads: Cohort) -> None:
    generator = Generator(beginning).eval()
    generator.load_state_dict(measured(generator.recipe, beginning.dataset(heads)), strict=False)
    assert generator.atlas is not None
    assert float(generator.atlas.modes.abs().max()) > 0.1
    values = {"age": torch.tensor([[30.0]])}
    first, again = list[torch.Tensor](), list[torch.Tensor]()
    generator.sample(values, [1], watch=lambda x, _: first.append(x))
    generator.sample(values, [2], watch=lambda x, _: again.append(x))
    at = beginning.process.path.at(0.3, first[0])
    sources = [torch.Generator().manual_seed(1)]
    noise = torch.randn(beginning.latent_shape, generator=sources[0])[None]
    keep = heard(beginning.conditions, 1)
    values = filled(beginning, values, 1, torch.device("cpu"))
    wanted = generator.atlas.begin(
        noise, at.alpha, at.sigma, sources=sources, values=values, keep=keep
    )
    torch.testing.assert_close(first[0], wanted)
    assert len(first) == beginning.sampling.steps
    assert not torch.equal(first[0], again[0])


def test_times_before_the_beginning_are_not_trained(beginning: Recipe) -> None:
    process, data = beginning.process, torch.zeros(4096, 1, 1)
    t, _ = process.draw(data, generator=torch.Generator().manual_seed(0))
    assert 0.3 <= float(t.min()) < 0.31
    assert 0.99 < float(t.max()) < 1
    assert float(t.mean()) == pytest.approx(0.65, abs=0.02)
    assert process.first_time == 0.3
    early, _ = process.replace(at_start=1.0).draw(data)
    assert bool((early == 0.3).all())


def test_no_loss_is_measured_before_the_beginning(beginning, heads, tmp_path, monkeypatch) -> None:
    """Neither in validation nor for membership."""
    generator, times = Generator(beginning), list[float]()
    generator.load_state_dict(measured(generator.recipe, beginning.dataset(heads)), strict=False)
    generator.save(tmp_path)

    def loss_at(self, volume, values, t, noise) -> torch.Tensor:
        times.extend(t.tolist())
        return torch.zeros(len(t))

    monkeypatch.setattr(Generator, "loss_at", loss_at)
    validation_loss(generator, beginning.dataset(heads), Engine("cpu", "float32"))
    assert 0.3 <= min(times) < 0.4
    times.clear()
    losses(tmp_path, heads, times=7, draws=1)
    assert min(times) == pytest.approx(0.35)


def test_what_cannot_be_is_refused(beginning: Recipe) -> None:
    with pytest.raises(RecipeError, match=r"process.begin=0.3 needs an atlas that says what data"):
        beginning.replace(atlas=Atlas())
    with pytest.raises(RecipeError, match=r"from 0.3 up to, not including, 1"):
        beginning.sampling.replace(grids=((0.1,),), steps=1).times(beginning.process)
    plain = beginning.replace(process=beginning.process.replace(begin=0), atlas=None)
    late = plain.sampling.replace(grids=((0.4, 0.7),), steps=2)
    with pytest.raises(RecipeError, match=r"begins at t = 0.4, where only a model"):
        plain.replace(sampling=late)
    with pytest.raises(RecipeError, match="knows what x_t is like; begin at 0"):
        Generator(plain).sample({"age": torch.tensor([[30.0]])}, [1], late)
    with pytest.raises(RecipeError, match="DDPM has steps that are trained from the first"):
        beginning.replace(process=beginning.process.replace(path=DDPM()))
