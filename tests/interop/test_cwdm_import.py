"""Checkpoints of cWDM, Fast-cWDM and WDM become model folders that make what its code made."""

import json
from pathlib import Path

import plain_cwdm
import pytest
import torch
from released import Released
from torch import Tensor

from brainweave.data.volume import Volume
from brainweave.errors import CheckpointError, OutputError, RecipeError
from brainweave.generator import Generator
from brainweave.interop import import_cwdm, import_fast_cwdm, import_model, import_wdm
from brainweave.interop.cwdm import network
from brainweave.interop.cwdm_import import BRATS
from brainweave.model_folder import load_recipe
from brainweave.processes import DDPM, posterior, voxel_clip


@pytest.fixture
def cwdm() -> Released:
    return Released.read("cwdm_small")


@pytest.fixture
def fast() -> Released:
    return Released.read("fast_cwdm_sampled_small")


@pytest.fixture
def wdm() -> Released:
    return Released.read("wdm_small")


def saved(folder: Path, released: Released, name: str = "brats_1200000.pt") -> Path:
    """The checkpoint as released: bare tensors."""
    torch.save(released.weights, folder / name)
    return folder / name


def groups(folder: Path, **more) -> Path:
    """What the small networks have and the released ones have not."""
    (folder / "settings.json").write_text(json.dumps({"num_groups": 4, **more}))
    return folder / "settings.json"


def heard(generator: Generator, released: Released) -> Tensor:
    """Its denoiser's estimate at the fixture's x_t with the fixture's conditions as images, in
    which they are the coefficients of volumes beyond the intensity range."""
    decode = generator.recipe.representation.decode
    names = generator.recipe.inputs
    bands = released["ddpm.cond"].chunk(3, dim=1)
    values = {name: decode(band) for name, band in zip(names, bands, strict=True)}
    signal = generator.signal(values, {"images": torch.ones(2, dtype=torch.bool)})
    process = generator.recipe.process
    times = 1 - (released["ddpm.t"].double() + 1) / process.path.steps
    denoise = process.denoiser(lambda x, clock: generator.network(x, clock, signal))
    return denoise(released["ddpm.x_t"], times).data


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_the_imported_model_predicts_what_the_original_code_predicted(tmp_path, cwdm):
    import_cwdm(
        saved(tmp_path, cwdm), out=tmp_path / "model", target="t1n", config=groups(tmp_path)
    )
    with torch.no_grad():
        data = heard(Generator.load(tmp_path / "model"), cwdm)
    close(data, cwdm["ddpm.pred_x0"])


def test_so_does_that_of_fast_cwdm(tmp_path, fast):
    checkpoint = saved(tmp_path, fast, "brats_t2f_BEST_sampled_10.pt")
    import_fast_cwdm(checkpoint, out=tmp_path / "model", config=groups(tmp_path))
    with torch.no_grad():
        data = heard(Generator.load(tmp_path / "model"), fast)
    close(data, fast["ddpm.pred_x0"])


def test_so_does_that_of_wdm(tmp_path, wdm):
    import_wdm(saved(tmp_path, wdm), out=tmp_path / "model", config=groups(tmp_path))
    generator = Generator.load(tmp_path / "model")
    with torch.no_grad():
        output = generator.network(wdm["io.x"], wdm["io.t"], generator.signal({}, {}))
    close(output, wdm["io.y"])


def test_the_imported_model_takes_the_original_codes_step(tmp_path, cwdm):
    import_cwdm(
        saved(tmp_path, cwdm), out=tmp_path / "model", target="t1n", config=groups(tmp_path)
    )
    generator = Generator.load(tmp_path / "model")
    recipe, x_t = generator.recipe, cwdm["ddpm.x_t"]
    low, high = recipe.preprocess.intensity.low, recipe.preprocess.intensity.high
    clip = voxel_clip(recipe.representation.encode, recipe.representation.decode, low, high)
    path, times = recipe.process.path, 1 - (cwdm["ddpm.t"].double() + 1) / 1000
    with torch.no_grad():
        data = clip(heard(generator, cwdm))
    found = posterior(path.at(times, x_t), path.at(times + 1e-3, x_t), x_t, data)
    close(found.mean, cwdm["ddpm.posterior_mean"])


def test_the_model_and_the_bare_network_say_the_same(tmp_path, cwdm):
    generator = import_cwdm(
        saved(tmp_path, cwdm), out=tmp_path / "model", target="t1n", config=groups(tmp_path)
    )
    bare = network(cwdm.weights, cwdm.config).network.state_dict()
    for name, tensor in generator.network.state_dict().items():
        assert torch.equal(tensor, bare[name])


def test_an_imported_model_completes_a_volume(tmp_path, cwdm):
    generator = import_cwdm(
        saved(tmp_path, cwdm), out=tmp_path / "model", target="t1n", config=groups(tmp_path)
    )
    images = {name: torch.rand(1, 1, 16, 24, 16) for name in generator.recipe.inputs}
    sampling = generator.recipe.sampling.replace(sampler="ddim", steps=2)
    volume = generator.sample(images, [3], sampling)
    assert volume.shape == (1, 1, 16, 24, 16)
    assert volume.std() > 0


@pytest.mark.parametrize(
    ("target", "ours", "inputs"),
    [
        ("t1n", "t1w", ("t1c", "t2w", "flair")),
        ("t2f", "flair", ("t1w", "t1c", "t2w")),
        ("t1c", "t1c", ("t1w", "t2w", "flair")),
    ],
)
def test_the_target_decides_the_conditions(tmp_path, cwdm, target, ours, inputs):
    import_model(
        "cwdm",
        saved(tmp_path, cwdm),
        out=tmp_path / "model",
        target=target,
        config=groups(tmp_path),
        licence="CC BY 4.0",
    )
    recipe = load_recipe(tmp_path / "model")
    assert (recipe.target, recipe.inputs, recipe.licence) == (ours, inputs, "CC BY 4.0")


def test_a_model_of_fast_cwdm_keeps_its_schedule(tmp_path, fast):
    checkpoint = saved(tmp_path, fast)
    import_model(
        "fast-cwdm",
        checkpoint,
        out=tmp_path / "model",
        target="t1c",
        schedule="direct",
        steps=100,
        config=groups(tmp_path),
    )
    recipe = load_recipe(tmp_path / "model")
    assert recipe.process.path == DDPM(steps=100, beta_first=0.1 / 100, beta_last=20 / 100)
    assert (recipe.target, recipe.sampling.steps) == ("t1c", 100)


@pytest.mark.parametrize(("levels", "size"), [(2, 128), (6, 256)])
def test_wdms_levels_tell_its_size(tmp_path, levels, size):
    config = {"num_channels": 4, "channel_mult": [1] * levels, "num_res_blocks": 1}
    config |= {"in_channels": 8, "num_groups": 2, "additive_skips": True}
    torch.save(plain_cwdm.weights_of(config), tmp_path / "brats_unet.pt")
    import_wdm(
        tmp_path / "brats_unet.pt", out=tmp_path / "model", config=groups(tmp_path, num_groups=2)
    )
    recipe = load_recipe(tmp_path / "model")
    assert recipe.preprocess.shape == (size, size, size)
    assert recipe.network.skips == "additive"


def test_the_grid_is_bratss_or_a_given_volumes(tmp_path, wdm):
    settings, checkpoint = groups(tmp_path), saved(tmp_path, wdm)
    Volume(torch.rand(4, 5, 6), BRATS.matrix).save(tmp_path / "scan.nii.gz")
    import_wdm(checkpoint, out=tmp_path / "a", config=settings)
    import_wdm(checkpoint, out=tmp_path / "b", config=settings, template=tmp_path / "scan.nii.gz")
    assert load_recipe(tmp_path / "a").template == BRATS
    assert load_recipe(tmp_path / "b").template.shape == (4, 5, 6)


def test_the_command_imports(tmp_path, cli, cwdm):
    words = ["--target", "t1n", "--config", groups(tmp_path), "--out", tmp_path / "model"]
    outcome = cli("import", "cwdm", saved(tmp_path, cwdm), *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert load_recipe(tmp_path / "model").name == "cwdm"


# What cannot be imported


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("cwdm", {}, CheckpointError, "--target t1n, t1c, t2w or t2f"),
        ("cwdm", {"target": "pet"}, RecipeError, "none of cWDM's four"),
        ("cwdm", {"target": "t1n", "steps": 10}, CheckpointError, "--steps means nothing"),
        ("wdm", {}, CheckpointError, "takes 32 channels, wdm 8"),
        ("fast-cwdm", {"target": "t1n"}, CheckpointError, "--schedule sampled --steps 10"),
        (
            "fast-cwdm",
            {"target": "t1n", "schedule": "sampld", "steps": 10},
            CheckpointError,
            "it is sampled or direct",
        ),
        (
            "fast-cwdm",
            {"target": "t1n", "schedule": "direct", "steps": 10},
            RecipeError,
            "more than 20 steps",
        ),
    ],
)
def test_what_is_not_said_or_makes_no_sense_is_asked_for(
    tmp_path, cwdm, kind, options, error, message
):
    with pytest.raises(error, match=message) as caught:
        import_model(
            kind,
            saved(tmp_path, cwdm),
            out=tmp_path / "model",
            config=groups(tmp_path),
            **options,
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_schedule": "cosine"}, "noise_schedule=cosine"),
        ({"predict_xstart": "False"}, "predict_xstart=False"),
        ({"num_groups": 32}, "num_groups=32 does not divide"),
    ],
)
def test_settings_without_counterpart_are_refused(tmp_path, cwdm, settings, message):
    with pytest.raises(CheckpointError, match=message):
        import_cwdm(
            saved(tmp_path, cwdm),
            out=tmp_path / "model",
            target="t1n",
            config=groups(tmp_path, **settings),
        )


def test_levels_that_the_released_shape_cannot_be_halved_for_are_refused(tmp_path):
    config = {"num_channels": 4, "channel_mult": [1] * 6, "num_res_blocks": 1}
    config |= {"in_channels": 32, "num_groups": 2, "additive_skips": False}
    torch.save(plain_cwdm.weights_of(config), tmp_path / "deep.pt")
    with pytest.raises(CheckpointError, match="multiple of 64"):
        import_cwdm(
            tmp_path / "deep.pt",
            out=tmp_path / "model",
            target="t1n",
            config=groups(tmp_path, num_groups=2),
        )


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, cwdm):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="not empty"):
        import_cwdm(
            saved(tmp_path, cwdm), out=tmp_path / "model", target="t1n", config=groups(tmp_path)
        )
