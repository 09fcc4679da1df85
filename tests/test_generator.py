"""The generator: seeds, guidance, ways of listening, and its folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

from brainweave.conditions import Scalar
from brainweave.conditions.hiding import drawn
from brainweave.data.tensors import load_tensors, save_tensors
from brainweave.errors import CheckpointError, ConditionError
from brainweave.generator import Generator
from brainweave.model_folder import load_recipe
from brainweave.processes.samplers import SAMPLERS
from brainweave.recipe import Recipe, Sampling

SEEDS = [3, 1, 4, 15]
MODES = ("both", "film", "attention", "none")


def people(count: int = 4) -> dict[str, torch.Tensor]:
    """Different ages and sexes, one age unknown."""
    age = torch.tensor([[25.0], [torch.nan], [52.0], [79.0]])[:count]
    return {"age": age, "sex": torch.tensor([[0.0], [1.0], [1.0], [0.0]])[:count]}


def one(values: dict[str, torch.Tensor], index: int) -> dict[str, torch.Tensor]:
    return {name: value[index : index + 1] for name, value in values.items()}


def calls(generator: Generator, sampling: Sampling) -> int:
    """How often the network is called for a volume."""
    seen: list[int] = []
    hook = generator.network.register_forward_hook(lambda *_: seen.append(1))
    generator.sample(one(people(), 0), [0], sampling)
    hook.remove()
    return len(seen)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_seed_alone_is_the_seed_in_a_batch(
    generator: Generator, sampler: str, guidance: float
) -> None:
    sampling = Sampling(sampler=sampler, steps=4, guidance=guidance, clip=sampler == "ddim")
    batch = generator.sample(people(), SEEDS, sampling)
    for index, seed in enumerate(SEEDS):
        alone = generator.sample(one(people(), index), [seed], sampling)
        torch.testing.assert_close(alone[0], batch[index], rtol=0, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_is_another_volume(generator: Generator, sampler: str) -> None:
    a, b = generator.sample({}, [1, 2], Sampling(sampler=sampler, steps=2))
    assert (a - b).abs().max() > 0.1


def test_sampling_leaves_the_global_random_numbers_alone(generator: Generator) -> None:
    before = torch.get_rng_state()
    generator.sample({}, [1], Sampling(sampler="ancestral", steps=2))
    assert torch.equal(before, torch.get_rng_state())


def test_guidance_1_does_not_call_the_network_without_conditions(generator: Generator) -> None:
    assert calls(generator, Sampling(steps=4, guidance=1)) == 4
    assert calls(generator, Sampling(steps=4, guidance=2)) == 8


def test_guidance_1_is_no_guidance(generator: Generator) -> None:
    never = Sampling(steps=4, guidance=5, guidance_interval=(0.8, 0.9))
    plain = generator.sample(people(), SEEDS, Sampling(steps=4, guidance=1))
    assert torch.equal(plain, generator.sample(people(), SEEDS, never))


def test_guidance_changes_the_volume(generator: Generator) -> None:
    a, b = (generator.sample(people(), SEEDS, Sampling(steps=3, guidance=g)) for g in (1, 3))
    assert (a - b).abs().amax((1, 2, 3, 4)).min() > 0.01


def test_guidance_0_hears_nothing(generator: Generator) -> None:
    free = generator.sample(people(), SEEDS, Sampling(steps=3, guidance=0))
    assert torch.equal(free, generator.sample({}, SEEDS, Sampling(steps=3)))


def test_guidance_of_the_null_changes_nothing(generator: Generator) -> None:
    guided = generator.sample({}, SEEDS, Sampling(steps=3, guidance=4))
    assert torch.equal(guided, generator.sample({}, SEEDS, Sampling(steps=3)))


def test_guidance_acts_in_its_interval_only(generator: Generator) -> None:
    assert calls(generator, Sampling(steps=4, guidance=2, guidance_interval=(0.2, 0.6))) == 6


@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("second", MODES)
def test_the_ways_of_listening_differ(generator: Generator, first: str, second: str) -> None:
    a = generator.sample(one(people(), 0), [1], listen=first)
    b = generator.sample(one(people(), 0), [1], listen=second)
    assert torch.equal(a, b) if first == second else (a - b).abs().max() > 0.005


def test_listening_to_nothing_is_the_null(generator: Generator) -> None:
    deaf = generator.sample(people(), SEEDS, listen="none")
    assert torch.equal(deaf, generator.sample({}, SEEDS))


@pytest.mark.parametrize("mode", ["film", "attention"])
def test_each_way_of_listening_hears_the_age_by_itself(generator: Generator, mode: str) -> None:
    young, old = ({"age": torch.tensor([[age]])} for age in (20.0, 80.0))
    a, b = (generator.sample(values, [1], listen=mode) for values in (young, old))
    assert (a - b).abs().max() > 0.002


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_progress_is_told_once_per_step(generator: Generator, sampler: str) -> None:
    told: list[int] = []
    sampling = Sampling(sampler=sampler, steps=5, guidance=2)
    generator.sample({}, [0], sampling, progress=lambda: told.append(1))
    assert len(told) == 5


def test_a_volume_stays_in_the_range_of_intensities(generator: Generator) -> None:
    volume = generator.sample(people(), SEEDS, Sampling(steps=3, guidance=20))
    assert volume.min() == -1
    assert volume.max() == 1


def test_the_floor_makes_faint_voxels_background(generator: Generator) -> None:
    plain, floored = (generator.sample({}, [1], Sampling(steps=3, floor=f)) for f in (0.0, 0.25))
    assert ((plain > -1) & (plain <= -0.5)).any()
    assert torch.equal(floored, torch.where(plain <= -0.5, -1.0, plain))


def test_clip_limits_guided_estimates(generator: Generator) -> None:
    sampling = Sampling(steps=3, guidance=20, clip=True)
    denoise = generator._denoiser(one(people(), 0), 1, sampling, "both")
    x = torch.randn(1, *generator.recipe.latent_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        voxels = generator.recipe.representation.decode(denoise(x, torch.tensor(0.3)).data)
    assert float(voxels.min()) == pytest.approx(-1, abs=1e-5)
    assert float(voxels.max()) == pytest.approx(1, abs=1e-5)


def test_clip_changes_the_volume(generator: Generator) -> None:
    a, b = (generator.sample({}, [1], Sampling(steps=3, clip=c)) for c in (False, True))
    assert (a - b).abs().max() > 0.01
    assert b.isfinite().all()


def test_a_model_without_conditions_samples(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator]
) -> None:
    volume = randomised(tiny_recipe.replace(conditions=())).sample({}, [1, 2])
    assert volume.shape == (2, 1, 16, 16, 16)


def test_an_unknown_condition_is_named_with_the_nearest(generator: Generator) -> None:
    with pytest.raises(ConditionError, match="no condition 'agee'; did you mean 'age'"):
        generator.sample({"agee": torch.tensor([[70.0]])}, [1])


def test_one_value_for_two_volumes_is_refused(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # it would tell it too
    with pytest.raises(ConditionError, match=r"age has shape \(1, 1\); 2 volumes need \(2, 1\)"):
        generator.sample({"age": torch.tensor([[70.0]])}, [1, 2])


def test_the_loss_is_a_value_per_volume(generator: Generator) -> None:
    volume = torch.zeros(4, 1, 16, 16, 16)
    loss = generator.loss(volume, people(), generator=torch.Generator().manual_seed(0))
    assert loss.shape == (4,)
    assert loss.isfinite().all()


def test_equal_random_numbers_give_equal_losses(generator: Generator) -> None:
    volume = torch.zeros(4, 1, 16, 16, 16)
    a, b = (
        generator.loss(volume, people(), generator=torch.Generator().manual_seed(7))
        for _ in range(2)
    )
    assert torch.equal(a, b)


def test_conditions_are_dropped_together_and_alone(tiny_recipe: Recipe) -> None:
    keep = drawn(tiny_recipe.conditions, 0.2, 20_000, torch.Generator().manual_seed(0))
    age, sex = keep["age"], keep["sex"]
    assert float((age & sex).float().mean()) == pytest.approx(0.8**3, abs=0.02)
    assert float((age & ~sex).float().mean()) == pytest.approx(0.8 * 0.8 * 0.2, abs=0.02)
    assert float((~age & ~sex).float().mean()) == pytest.approx(0.2 + 0.8 * 0.2**2, abs=0.02)


def test_a_saved_generator_is_the_same_bit_for_bit(generator: Generator, model: Path) -> None:
    loaded = Generator.load(model)
    assert loaded.recipe == generator.recipe
    again = loaded.sample(people(), SEEDS)
    assert torch.equal(again, generator.sample(people(), SEEDS))


def test_half_is_half_the_size_and_hardly_another_model(
    generator: Generator, model: Path, tmp_path: Path
) -> None:
    generator.save(tmp_path, half=True)
    half, whole = (folder / "weights.safetensors" for folder in (tmp_path, model))
    assert half.stat().st_size < 0.56 * whole.stat().st_size  # names are as long
    loaded = Generator.load(tmp_path)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    for a, b in zip(loaded.parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    difference = loaded.sample(people(), SEEDS) - generator.sample(people(), SEEDS)
    assert difference.abs().max() < 4e-3


def test_weights_beyond_float16_are_not_halved(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path
) -> None:
    generator = randomised(tiny_recipe)
    generator.network.head.bias.data[0] = 1e6
    with pytest.raises(CheckpointError, match=r"network.head.bias does not fit into float16"):
        generator.save(tmp_path, half=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("place", [0.05, 0.5, 0.99])
def test_a_flipped_bit_is_found(generator: Generator, tmp_path: Path, place: float) -> None:
    generator.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        Generator.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"part": "UNetConfig", "width": 16, "heads": 2, "condition_width": 16}},
        {"conditions": []},
        {"conditions": [{"part": "Scalar", "name": "height", "low": 1, "high": 2}]},
    ],
    ids=["another width", "no conditions", "another condition"],
)
def test_weights_of_another_recipe_are_refused_in_one_line(
    generator: Generator, tmp_path: Path, change: dict[str, object]
) -> None:
    generator.save(tmp_path)
    recipe = json.loads((tmp_path / "recipe.json").read_text()) | change
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(CheckpointError, match=r"weights do not fit recipe\.json") as caught:
        Generator.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_of_a_stranger_are_refused(generator: Generator, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    generator.save(tmp_path)
    save_file(generator.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="carries no hash"):
        Generator.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1, 2]", "is not a recipe"),
        ('{"part": "Haar"}', "is not a recipe"),
        ('{"part": "Nonsense"}', "recipe.json: unknown part 'Nonsense'"),
        ('{"part": "Recipe", "name": "x"}', "recipe.json: Recipe: "),
    ],
)
def test_a_broken_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        load_recipe(tmp_path)


def test_facts_travel_with_the_weights(generator: Generator, model: Path) -> None:
    _, facts = load_tensors(model / "weights.safetensors")
    assert facts["recipe"] == "toy"
    assert set(facts["recipe_sha256"]) == {
        *("preprocess", "template", "representation", "process", "network", "conditions")
    }


def test_extra_weights_are_refused(generator: Generator, tmp_path: Path) -> None:
    generator.save(tmp_path)
    more = generator.state_dict() | {"extra": torch.zeros(1)}
    save_tensors(tmp_path / "weights.safetensors", more, {})
    with pytest.raises(CheckpointError, match="extra"):
        Generator.load(tmp_path)


def test_a_fixed_null_is_no_parameter(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator]
) -> None:
    silent = Scalar(name="age", low=0, high=1, learned_null=False)
    generator = randomised(tiny_recipe.replace(conditions=(silent,)))
    assert not any(name.endswith("null") for name in generator.state_dict())


@pytest.mark.parametrize("field", ["preprocess", "conditions", "template", "process"])
def test_a_recipe_changed_under_its_weights_is_refused(
    model: Path, tmp_path: Path, field: str
) -> None:
    changed: dict[str, Callable[[Any], Any]] = {
        "preprocess": lambda plan: plan["preprocess"].update(pad="edge"),
        "conditions": lambda plan: plan["conditions"][0].update(high=90.0),
        "template": lambda plan: plan.update(template=None),
        "process": lambda plan: plan["process"].update(prediction="data"),
    }
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    plan = json.loads((copy / "recipe.json").read_text())
    changed[field](plan)
    (copy / "recipe.json").write_text(json.dumps(plan))
    with pytest.raises(CheckpointError, match=f"{field} in recipe.json was changed after"):
        Generator.load(copy)


def test_what_decides_no_weight_may_be_edited(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    plan = json.loads((copy / "recipe.json").read_text())
    plan |= {"licence": "CC0-1.0", "source": "mine"}
    plan["sampling"]["steps"] = 9
    plan["training"]["batch"] = 1
    (copy / "recipe.json").write_text(json.dumps(plan))
    assert Generator.load(copy).recipe.sampling.steps == 9


def test_weights_that_state_no_recipe_load(
    generator: Generator, model: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    save_tensors(copy / "weights.safetensors", generator.state_dict(), {"recipe": "toy"})
    assert Generator.load(copy).recipe == generator.recipe


def test_unknown_ways_of_listening_are_refused(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # it would tell it too
    with pytest.raises(ConditionError, match="listen 'flim' is unknown; did you mean 'film'"):
        generator.sample({}, [1], listen="flim")


def test_sampling_while_training_has_no_dropout_and_goes_on_training(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator]
) -> None:
    network = tiny_recipe.network.replace(dropout=0.5)
    own = randomised(tiny_recipe.replace(network=network))
    expected = own.sample(people(), SEEDS)
    own.train()
    assert torch.equal(own.sample(people(), SEEDS), expected)
    assert own.training
    assert own.network.training


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("euler", {"shift": 3.0}),
        ("ddim", {"eta": 1.0}),
        ("euler", {"grids": ((0.0, 0.9, 0.95),)}),
    ],
)
def test_every_option_of_sampling_acts(
    generator: Generator, sampler: str, options: dict[str, Any]
) -> None:
    plain, other = (Sampling(sampler=sampler, steps=3, **more) for more in ({}, options))
    a, b = (generator.sample({}, [1], sampling) for sampling in (plain, other))
    assert (a - b).abs().max() > 0.01
