"""What recipes cost and how they are told."""

import pytest
import torch

from brainweave.cost import (
    Live,
    calls_per_volume,
    flops_per_call,
    generation_memory,
    parameter_count,
    training_memory,
)
from brainweave.errors import CheckpointError
from brainweave.generator import Generator
from brainweave.inspection import compare, inspect, listing
from brainweave.recipes import RECIPES, build
from brainweave.weights import locate

# Cost


@pytest.mark.parametrize(
    ("name", "count"), [("flowlet", 1_001_968_392), ("flowlet_base", 356_366_088)]
)
def test_parameters_are_those_of_the_released_networks(name, count):
    assert parameter_count(build(name)) == count


@pytest.mark.parametrize(
    ("name", "tera"), [("flowlet", 8.456), ("flowlet_base", 7.037), ("cwdm", 7.169)]
)
def test_arithmetic_is_that_of_the_released_networks(name, tera):
    assert flops_per_call(build(name)) == pytest.approx(tera * 1e12, rel=1e-3)


def test_parameters_of_embedders_count(tiny_recipe):
    deaf = tiny_recipe.replace(conditions=())
    network = sum(p.numel() for p in Generator(tiny_recipe).network.parameters())
    assert parameter_count(deaf) == network < parameter_count(tiny_recipe)


@pytest.mark.parametrize(
    ("sampling", "calls"),
    [
        ({"sampler": "euler", "steps": 10}, 10),
        ({"sampler": "euler", "steps": 10, "guidance": 2.0}, 20),
        ({"sampler": "heun", "steps": 10}, 19),
        ({"sampler": "heun", "steps": 10, "guidance": 0.0}, 38),
        ({"sampler": "euler", "steps": 10, "guidance": 2.0, "guidance_interval": (0.25, 0.55)}, 13),
    ],
)
def test_calls_are_counted_as_the_sampler_makes_them(tiny_recipe, sampling, calls):
    changed = tiny_recipe.sampling.replace(**sampling)
    assert calls_per_volume(tiny_recipe.replace(sampling=changed)) == calls


def test_calls_are_those_that_sampling_makes(generator):
    made = []
    handle = generator.network.register_forward_hook(lambda *_: made.append(1))
    generator.sample({}, [0])
    handle.remove()
    assert len(made) == calls_per_volume(generator.recipe)


def test_the_estimate_of_a_call_is_what_a_real_call_holds(generator):
    recipe = generator.recipe
    hidden = {name: torch.zeros(1, dtype=torch.bool) for name in generator.embedders}
    with torch.no_grad(), Live(generator) as live:
        x = torch.zeros(1, *recipe.latent_shape)
        generator.network(x, torch.zeros(1), generator.signal({}, hidden))
    assert live.held + live.peak == pytest.approx(generation_memory(recipe), rel=0.02)


def test_a_training_step_holds_weights_gradients_moments_and_their_average(tiny_recipe):
    averaged = training_memory(tiny_recipe)
    raw = tiny_recipe.replace(training=tiny_recipe.training.replace(ema=None))
    weights = 4 * parameter_count(tiny_recipe)
    assert averaged - training_memory(raw) == weights
    assert averaged > 5 * weights


def test_a_larger_batch_holds_more(tiny_recipe):
    doubled = tiny_recipe.training.replace(batch=2 * tiny_recipe.training.batch)
    assert training_memory(tiny_recipe.replace(training=doubled)) > training_memory(tiny_recipe)


def test_checkpointing_holds_less(tiny_recipe):
    saving = tiny_recipe.replace(network=tiny_recipe.network.replace(checkpointing=True))
    assert training_memory(saving) < training_memory(tiny_recipe)


def test_counting_leaves_nothing_behind(tiny_recipe, generator):
    before = generator.sample({}, [1])
    inspect(tiny_recipe)
    assert torch.equal(generator.sample({}, [1]), before)


# Words


def test_a_models_facts_name_its_weights(model):
    facts = inspect(model)
    assert facts.weights is not None
    assert facts.weights in str(facts)


def test_facts_tell_recipe_conditions_cost_template_and_licence(generator):
    text = str(inspect(generator.recipe))
    for told in ("Haar", "age from 20 to 80", "sex: F, M", "3 network calls", "LAS", "estimate"):
        assert told in text
    assert "unspecified" in text


def test_a_recipe_has_no_weights_to_name(tiny_recipe):
    assert inspect(tiny_recipe).weights is None


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"recipe\.json"):
        inspect(tmp_path)


def test_a_folder_without_weights_is_refused(generator, tmp_path):
    generator.save(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        inspect(tmp_path)


def test_the_difference_of_two_recipes_is_a_line_per_field():
    lines = compare(build("flowlet"), build("flowlet_base")).splitlines()
    fields = [line.split()[0] for line in lines]
    network = ["network.multipliers", "network.attention_levels", "network.dropout"]
    expected = ["name", *network, "training.batch"]
    assert fields == expected


def test_lines_of_a_difference_are_aligned():
    lines = compare(build("flowlet"), build("flowlet_plus")).splitlines()
    start = lines[0].index("flowlet_plus")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines)


def test_equal_recipes_have_no_difference():
    assert compare(build("tiny"), build("tiny")) == "no difference"


def test_the_listing_has_a_line_for_every_recipe():
    names = [line.split()[0] for line in listing().splitlines()[1:]]
    assert names == list(RECIPES)


def test_the_listing_tells_parameters():
    assert "1,002.0 M" in listing()


def test_long_lists_are_counted():
    told = str(inspect(locate()))
    assert "mean=(64 numbers)" in told
    assert "tone=(32 points)" in told
    assert "grids=((0.45, 0.505," in told
