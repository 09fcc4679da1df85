"""FlowLet's checkpoints become model folders that make what its own code made."""

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from brainweave.data.grid import Grid
from brainweave.data.volume import Volume
from brainweave.errors import CheckpointError, OutputError
from brainweave.generator import Generator
from brainweave.interop import import_flowlet, import_model
from brainweave.interop.flowlet_import import MNI
from brainweave.model_folder import load_recipe
from brainweave.processes import grids
from brainweave.processes.paths import Trigonometric, VariancePreserving
from brainweave.processes.samplers import euler

LIMITS = {"Age": {"min": 5.90, "max": 95.46}}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.nii.gz"
    affine = np.array([[-2.0, 0, 0, 5], [0, 2, 0, -13], [0, 0, 2, -6], [0, 0, 0, 1]])
    Volume(torch.rand(6, 13, 7), affine).save(path)
    return path


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-4)


def folder(
    tmp_path: Path, content: dict, config: dict | None, limits: dict | None = LIMITS
) -> Path:
    """A FlowLet run: a checkpoint with its JSON files beside it."""
    home = tmp_path / "run"
    home.mkdir()
    torch.save(content, home / "fmw_best.pth")
    if config is not None:
        (home / "config.json").write_text(json.dumps(config))
    if limits is not None:
        (home / "condition_ranges.json").write_text(json.dumps(limits))
    return home / "fmw_best.pth"


def full(weights: dict[str, Tensor]) -> dict:
    return {
        "epoch": 3,
        "flow_net_state_dict": weights,
        "scaler_state_dict": {},
        "best_val_loss": 1.0,
    }


def trajectory(generator: Generator, golden: dict[str, Tensor]) -> Tensor:
    """Five Euler steps from the fixture's noise, as `Generator.sample` makes them."""
    recipe = generator.recipe
    values = {"age": 5.90 + golden["io.condition.Age"] * (95.46 - 5.90)}
    keep = {"age": torch.ones(2, dtype=torch.bool)}
    times = grids.uniform(recipe.sampling.steps)
    with torch.no_grad():
        signal = generator.signal(values, keep)
        denoise = recipe.process.denoiser(partial(generator.network, signal=signal))
        states = [golden["euler5.noise"]]
        for step in range(recipe.sampling.steps):
            pair = times[step : step + 2]
            states.append(euler(denoise, states[-1], pair, path=recipe.process.path))
    return torch.stack(states, dim=1)


def test_the_imported_model_takes_the_original_codes_euler_steps(
    tmp_path, golden, weights, template, command_line
):
    import_flowlet(
        folder(tmp_path, full(weights), command_line), out=tmp_path / "model", template=template
    )
    states = trajectory(Generator.load(tmp_path / "model"), golden)
    assert close(states, golden["euler5.trajectory"])


def test_the_imported_model_ends_at_the_original_codes_volume(
    tmp_path, golden, weights, template, command_line
):
    import_flowlet(
        folder(tmp_path, full(weights), command_line), out=tmp_path / "model", template=template
    )
    generator = Generator.load(tmp_path / "model")
    decoded = generator.recipe.representation.decode(trajectory(generator, golden)[:, -1])
    assert close(decoded.clamp(-1, 1), golden["euler5.volume"])


def sampled(model: Path) -> Tensor:
    return Generator.load(model).sample({"age": torch.tensor([[40.0], [70.0]])}, seeds=[3, 4])


def test_a_slim_checkpoint_makes_the_model_that_a_full_one_makes(
    tmp_path, weights, template, command_line
):
    whole = folder(tmp_path, full(weights), command_line)
    import_flowlet(whole, out=tmp_path / "a", template=template)
    slim = tmp_path / "slim.pth"
    torch.save({"model_state_dict": weights, "config": command_line}, slim)
    limits = whole.parent / "condition_ranges.json"
    import_flowlet(slim, out=tmp_path / "b", ranges=limits, template=template)
    assert torch.equal(sampled(tmp_path / "a"), sampled(tmp_path / "b"))


def test_a_wrapped_checkpoint_makes_the_model_that_a_plain_one_makes(
    tmp_path, weights, template, command_line
):
    plain = folder(tmp_path, full(weights), command_line)
    import_flowlet(plain, out=tmp_path / "a", template=template)
    wrapped = plain.parent / "wrapped.pth"
    torch.save(full({f"_orig_mod.module.{name}": w for name, w in weights.items()}), wrapped)
    import_flowlet(wrapped, out=tmp_path / "b", template=template)
    assert torch.equal(sampled(tmp_path / "a"), sampled(tmp_path / "b"))


def test_safetensors_are_read_like_a_checkpoint(tmp_path, weights, template, command_line):
    plain = folder(tmp_path, full(weights), command_line)
    import_flowlet(plain, out=tmp_path / "a", template=template)
    save_file(weights, plain.parent / "slim.safetensors")
    import_flowlet(plain.parent / "slim.safetensors", out=tmp_path / "b", template=template)
    assert torch.equal(sampled(tmp_path / "a"), sampled(tmp_path / "b"))


def imported(tmp_path: Path, weights: dict, template: Path, config: dict, limits=LIMITS):
    checkpoint = folder(tmp_path, full(weights), config, limits)
    import_model("flowlet", checkpoint, out=tmp_path / "model", template=template)
    return load_recipe(tmp_path / "model")


def test_ranges_and_names_of_conditions_come_from_the_files(
    tmp_path, template, command_line, with_condition
):
    limits = {**LIMITS, "Sex": {"min": 0, "max": 1}}
    recipe = imported(tmp_path, with_condition("Sex"), template, command_line, limits)
    found = [(c.name, c.low, c.high) for c in recipe.conditions]
    assert found == [("age", 5.90, 95.46), ("sex", 0, 1)]


def test_a_condition_without_a_range_is_taken_as_coded_from_0_to_1(
    tmp_path, template, command_line, with_condition
):
    recipe = imported(tmp_path, with_condition("Condition"), template, command_line)
    assert (recipe.conditions[1].low, recipe.conditions[1].high) == (0, 1)


def test_a_range_of_one_point_shows_one_half_as_there(tmp_path, weights, template, command_line):
    recipe = imported(tmp_path, weights, template, command_line, {"Age": {"min": 50, "max": 50}})
    age = recipe.conditions[0]
    assert (50 - age.low) / (age.high - age.low) == 0.5


@pytest.mark.parametrize(
    ("flow", "path"),
    [
        ({"flow_type": "trigonometric"}, Trigonometric()),
        (
            {"flow_type": "vp_diffusion", "vp_beta_min": 0.2, "vp_beta_max": 12.0},
            VariancePreserving(beta_min=0.2, beta_max=12.0),
        ),
    ],
)
def test_the_path_is_the_flow_that_was_trained(
    tmp_path, weights, template, flow, path, command_line
):
    assert imported(tmp_path, weights, template, {**command_line, **flow}).process.path == path


def test_steps_shape_and_dropout_are_the_configurations(tmp_path, weights, template, command_line):
    recipe = imported(tmp_path, weights, template, command_line)
    found = recipe.sampling.steps, recipe.preprocess.shape, recipe.network.dropout
    assert found == (5, (8, 16, 8), 0.05)


def test_the_template_is_the_given_volumes_grid(tmp_path, weights, template, command_line):
    recipe = imported(tmp_path, weights, template, command_line)
    assert recipe.template == Volume.load(template).grid
    assert recipe.preprocess.orientation == "LAS"


def test_the_default_template_is_mni152_at_2_mm(tmp_path, weights, command_line):
    config = {**command_line, "model_input_size": [112, 112, 112]}
    import_flowlet(folder(tmp_path, full(weights), config), out=tmp_path / "model")
    recipe = load_recipe(tmp_path / "model")
    expected = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    assert recipe.template == MNI == Grid.of((91, 109, 91), expected)
    assert recipe.preprocess.orientation == "LAS"


def test_a_model_without_cross_attention_is_imported_without_conditions(
    tmp_path, template, command_line, deaf
):
    config = {**command_line, "unet_disable_cross_attn": True}
    assert imported(tmp_path, deaf, template, config).conditions == ()


# Files that cannot be imported


def test_a_template_larger_than_the_input_is_refused(tmp_path, weights, command_line):
    with pytest.raises(CheckpointError, match="does not fit"):
        import_flowlet(folder(tmp_path, full(weights), command_line), out=tmp_path / "model")


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, weights, template, command_line):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="not empty"):
        imported(tmp_path, weights, template, command_line)


def test_missing_ranges_are_asked_for(tmp_path, weights, template, command_line):
    checkpoint = folder(tmp_path, full(weights), command_line, limits=None)
    with pytest.raises(CheckpointError, match=r"condition_ranges\.json"):
        import_flowlet(checkpoint, out=tmp_path / "model", template=template)


def test_a_missing_configuration_is_asked_for(tmp_path, weights, template):
    checkpoint = folder(tmp_path, full(weights), None)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        import_flowlet(checkpoint, out=tmp_path / "model", template=template)


class Harmful:
    """Unpickling it would call a function."""

    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: torch.save({"flow_net_state_dict": Harmful()}, path), "holds code"),
        (lambda path: path.write_bytes(pickle.dumps(Harmful(), protocol=2)), "holds code"),
        (lambda path: path.write_text("not a checkpoint"), "no checkpoint"),
        (lambda path: path.write_bytes(b""), "no checkpoint"),
        (lambda path: torch.save({"optimizer": {"lr": 1.0}}, path), "flow_net_state_dict"),
        (lambda path: torch.save([1, 2], path), "list"),
        (lambda path: None, "does not exist"),
    ],
)
def test_foreign_files_are_refused_in_one_line_and_never_executed(tmp_path, write, message, capsys):
    path = tmp_path / "file.pth"
    write(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_flowlet(path, out=tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_a_damaged_checkpoint_is_refused(tmp_path, weights, command_line):
    path = folder(tmp_path, full(weights), command_line)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match=r"damaged|no checkpoint"):
        import_flowlet(path, out=tmp_path / "model")


def test_an_unknown_importer_is_refused_with_the_known(tmp_path):
    with pytest.raises(CheckpointError, match="flowlet"):
        import_model("flowlett", tmp_path / "x.pth", out=tmp_path / "model")


def test_the_licence_is_noted(tmp_path, weights, template, command_line):
    path = folder(tmp_path, full(weights), command_line)
    import_model("flowlet", path, out=tmp_path / "model", template=template, licence="CC BY 4.0")
    assert load_recipe(tmp_path / "model").licence == "CC BY 4.0"
