"""cWDM's, Fast-cWDM's and WDM's recipes: what was released, and what was repaired."""

import pytest
import torch

from brainweave.errors import RecipeError
from brainweave.generator import Generator
from brainweave.interop.cwdm import unet_config
from brainweave.processes.paths import DDPM
from brainweave.recipe import Recipe
from brainweave.recipes.cwdm import BRATS, cwdm, fast_cwdm, wdm

RELEASED = {"num_channels": 64, "channel_mult": (1, 2, 2, 4, 4), "num_res_blocks": 2}


def additive() -> Recipe:
    return cwdm().replace(network=cwdm().network.replace(skips="additive"))


def large() -> Recipe:
    return wdm(size=256)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (cwdm, 81_511_048),
        (fast_cwdm, 81_511_048),
        (additive, 57_956_296),
        (wdm, 57_914_824),
        (large, 83_158_728),
    ],
)
def test_a_recipe_has_as_many_parameters_as_the_released_network(make, count):
    with torch.device("meta"):
        generator = Generator(make())
    assert sum(parameter.numel() for parameter in generator.parameters()) == count


@pytest.mark.parametrize(("make", "skips"), [(cwdm, False), (wdm, True)])
def test_a_recipes_network_is_that_of_the_released_settings(make, skips):
    assert make().network == unet_config({**RELEASED, "num_groups": 32, "additive_skips": skips})


@pytest.mark.parametrize("target", BRATS)
def test_the_conditions_are_the_other_three_in_the_released_order(target):
    order = [name for name in ("t1w", "t1c", "t2w", "flair") if name != target]
    assert list(cwdm(target).inputs) == order
    assert cwdm(target).images.required


@pytest.mark.parametrize("alias", ["t1n", "T1w", "t2f"])
def test_a_target_may_have_its_released_name(alias):
    assert cwdm(alias).targets == ({"t2f": "flair"}.get(alias, "t1w"),)


def test_a_target_that_is_none_of_the_four_is_refused():
    with pytest.raises(RecipeError, match="did you mean 't2w'"):
        cwdm("t2v")


def test_fast_cwdm_keeps_ten_steps_of_the_chain_and_tells_their_place_among_them():
    path = fast_cwdm().process.path
    whole = DDPM(steps=1000)
    steps = torch.arange(10, dtype=torch.float64)
    kept = torch.tensor([0, 111, 222, 333, 444, 555, 666, 777, 888, 999], dtype=torch.float64)
    ours = path.coefficients(1 - (steps + 1) / 10).alpha
    torch.testing.assert_close(ours, whole.coefficients(1 - (kept + 1) / 1000).alpha)
    assert path.clock(torch.tensor(0.0)) == 9


def test_fast_cwdm_samples_with_the_steps_it_trains_on_and_the_posteriors_variance():
    recipe = fast_cwdm(schedule="direct", steps=100)
    assert recipe.process.path == DDPM(steps=100, beta_first=0.001, beta_last=0.2)
    assert (recipe.sampling.sampler, recipe.sampling.steps) == ("ancestral", 100)


def test_the_direct_schedule_needs_more_than_20_steps():
    with pytest.raises(RecipeError, match="more than 20 steps"):
        fast_cwdm(schedule="direct", steps=10)


def test_the_learning_rate_is_constant_as_released():
    assert cwdm().training.lr == cwdm().training.lr_end
