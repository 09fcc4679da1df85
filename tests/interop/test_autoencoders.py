"""MONAI's, MAISI's and brainmint's autoencoders: their numbers from their weights."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from released import Released
from torch import Tensor

from brainweave.errors import CheckpointError, OutputError
from brainweave.interop import autoencoder_kl, import_model, maisi, wfvae
from brainweave.model_folder import load_autoencoder
from brainweave.representations.autoencoders import Autoencoder

LOADERS = {
    "autoencoder_kl_small": autoencoder_kl.autoencoder,
    "autoencoder_kl_attention_small": autoencoder_kl.autoencoder,
    "maisi_vae_small": maisi.autoencoder,
    "wfvae_small": wfvae.autoencoder,
}
KINDS = {"autoencoder_kl_small": "monai", "maisi_vae_small": "maisi", "wfvae_small": "wfvae"}
GROUPS = {"norm_num_groups": 4}
Weights = dict[str, Tensor]
every = pytest.mark.parametrize("name", LOADERS)


def released(name: str) -> Released:
    return Released.read(name)


def agrees(module: Autoencoder, golden: Released) -> None:
    with torch.no_grad():
        mu, sigma = module.encode(golden["io.x"])
        decoded = module.decode(golden["io.mu"])
    for found, name in ((mu, "mu"), (sigma, "sigma"), (decoded, "decoded_mu")):
        torch.testing.assert_close(found, golden[f"io.{name}"], rtol=0, atol=1e-5)


# Their numbers


@every
def test_latents_and_volumes_are_the_same(name):
    golden = released(name)
    agrees(LOADERS[name](golden.weights, golden.config), golden)


@every
def test_in_slices_too(name):
    golden = released(name)
    module = LOADERS[name](golden.weights, golden.config)
    mu, sigma = module.encode(golden["io.x"], memory=2**40)
    torch.testing.assert_close(mu, golden["io.mu"], rtol=0, atol=1e-5)
    torch.testing.assert_close(sigma, golden["io.sigma"], rtol=0, atol=1e-5)


@every
def test_all_but_the_groups_of_the_norms_is_read_off_the_weights(name):
    golden = released(name)
    module = LOADERS[name](golden.weights, GROUPS)
    assert module.config == LOADERS[name](golden.weights, golden.config).config
    agrees(module, golden)


@every
def test_it_is_in_eval_mode_and_volumes_of_any_size_come_back(name):
    golden = released(name)
    module = LOADERS[name](golden.weights, golden.config)
    assert not module.training
    x = torch.randn(1, 1, 30, 33, 47, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mu, _ = module.encode(x)
        assert module.decode(mu, shape=(30, 33, 47)).shape == module.reconstruct(x).shape == x.shape


@every
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_mean_nothing(name, prefix):
    golden = released(name)
    weights = {f"{prefix}{key}": tensor for key, tensor in golden.weights.items()}
    agrees(LOADERS[name](weights, golden.config), golden)


@every
def test_settings_that_change_no_number_mean_nothing(name):
    golden = released(name)
    more = {"num_splits": 4, "dim_split": 1, "norm_float16": True, "use_flash_attention": True}
    rest = {"_target_": "monai.networks.nets.AutoencoderKL", "use_checkpoint": True, "debug": None}
    agrees(LOADERS[name](golden.weights, {**golden.config, **more, **rest}), golden)


# Other layouts of the same network


def of_generative_models(weights: Weights) -> Weights:
    """As MONAI GenerativeModels names it."""
    names = {".attn.to_": ".to_", ".attn.out_proj.": ".proj_attn.", ".postconv.": ".conv."}
    renamed = {}
    for name, tensor in weights.items():
        for new, old in names.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("name", ["autoencoder_kl_small", "autoencoder_kl_attention_small"])
def test_weights_of_generative_models_are_the_same(name):
    golden = released(name)
    agrees(autoencoder_kl.autoencoder(of_generative_models(golden.weights), GROUPS), golden)


def test_a_last_layer_of_attention_without_bias_has_none():
    golden = released("autoencoder_kl_attention_small")
    weights = {n: t * 0 if n.endswith("out_proj.bias") else t for n, t in golden.weights.items()}
    expected = autoencoder_kl.autoencoder(weights, GROUPS)
    without = {n: t for n, t in weights.items() if not n.endswith("out_proj.bias")}
    found = autoencoder_kl.autoencoder(of_generative_models(without), GROUPS)
    x = golden["io.x"]
    torch.testing.assert_close(found.encode(x)[0], expected.encode(x)[0], rtol=0, atol=0)


def test_queries_keys_and_values_may_be_one_layer():
    golden = released("autoencoder_kl_attention_small")
    weights = golden.weights
    for query in [name for name in weights if ".to_q." in name]:
        parts = [weights.pop(query.replace("to_q", f"to_{part}")) for part in "qkv"]
        weights[query.replace("to_q", "qkv")] = torch.cat(parts)
    agrees(autoencoder_kl.autoencoder(weights, golden.config), golden)


def test_attention_without_a_last_layer_ends_with_the_mean_of_values():
    weights = released("autoencoder_kl_attention_small").weights
    x = released("autoencoder_kl_attention_small")["io.x"]
    last = [name for name in weights if "out_proj" in name]
    for name in last:
        weights[name] = torch.eye(16) if name.endswith("weight") else torch.zeros(16)
    expected = autoencoder_kl.autoencoder(weights, GROUPS)
    without = {name: tensor for name, tensor in weights.items() if name not in last}
    found = autoencoder_kl.autoencoder(without, {**GROUPS, "include_fc": False})
    assert not found.config.attention_out
    torch.testing.assert_close(found.encode(x)[0], expected.encode(x)[0], rtol=0, atol=1e-6)


def test_monais_transposed_convolution_makes_blocks_of_voxels():
    golden = released("autoencoder_kl_small")
    weights = golden.weights
    for name in [name for name in weights if "postconv" in name and name.endswith("weight")]:
        middle = weights[name][:, :, 1, 1, 1]
        weights[name] = torch.zeros_like(weights[name])
        weights[name][:, :, 1, 1, 1] = middle  # each voxel of a block is the same then
    expected = autoencoder_kl.autoencoder(weights, golden.config)
    transposed = {}
    for name, tensor in weights.items():
        if "postconv" in name and tensor.ndim == 5:
            tensor = tensor[:, :, 1, 1, 1].T[..., None, None, None].expand(-1, -1, 2, 2, 2)
        transposed[name.replace("postconv.conv", "deconv")] = tensor
    found = autoencoder_kl.autoencoder(transposed, GROUPS)
    assert found.config.upsample == "transposed_2"
    z = golden["io.mu"]
    torch.testing.assert_close(found.decode(z), expected.decode(z), rtol=0, atol=1e-5)


def test_maisis_transposed_convolution_is_said_by_the_configuration():
    golden = released("maisi_vae_small")
    module = maisi.autoencoder(golden.weights, {**GROUPS, "use_convtranspose": True})
    assert module.config.upsample == "transposed_3"
    assert module.decode(golden["io.mu"]).shape == golden["io.x"].shape


def test_the_wavelets_gain_is_that_of_the_filters():
    golden = released("wfvae_small")
    rounded = wfvae.autoencoder(golden.weights, GROUPS)
    assert rounded.config.haar_gain == pytest.approx(0.3536, abs=1e-7)
    exact = {
        name: tensor / 0.3536 * 8**-0.5 if tensor.shape == (1, 1, 2, 2, 2) else tensor
        for name, tensor in golden.weights.items()
    }
    module = wfvae.autoencoder(exact, GROUPS)
    assert module.config.haar_gain == pytest.approx(8**-0.5, abs=1e-7)
    with torch.no_grad():
        change = (module.encode(golden["io.x"])[0] - golden["io.mu"]).abs().max()
    assert 1e-6 < float(change) < 1e-2


# What is refused


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: tensor for key, tensor in weights.items() if key != name}


@pytest.mark.parametrize(
    ("name", "change", "settings", "message"),
    [
        ("maisi_vae_small", dict, {"spatial_dims": 2}, "spatial_dims is 2; only 3"),
        (
            "maisi_vae_small",
            dict,
            {"num_channels": [8, 16, 32]},
            r"num_channels says \(8, 16, 32\).*weights say \(8, 16, 16\)",
        ),
        ("wfvae_small", dict, {"num_res_blocks": 1}, r"num_res_blocks says \(1, 1\)"),
        ("wfvae_small", dict, {"wavelet_channels": 8}, "wavelet_channels says 8"),
        (
            "autoencoder_kl_small",
            dict,
            {"attention_levels": [False, True, False]},
            r"attention_levels says \(1,\)",
        ),
        ("autoencoder_kl_small", dict, {"use_convtranspose": True}, "use_convtranspose says True"),
        ("autoencoder_kl_small", dict, {"include_fc": "no"}, "include_fc is 'no'; true or false"),
        ("autoencoder_kl_small", dict, {"norm_eps": "small"}, "norm_eps is 'small'; a number"),
        (
            "autoencoder_kl_small",
            dict,
            {"norm_num_groups": 3},
            "norm_num_groups=3 does not divide the 8",
        ),
        (
            "autoencoder_kl_small",
            without("decoder.blocks.3.norm2.bias"),
            {},
            "1 tensors are missing",
        ),
        ("autoencoder_kl_small", without("quant_conv_mu.conv.bias"), {}, "1 tensors are missing"),
        (
            "autoencoder_kl_attention_small",
            without("encoder.blocks.7.attn.to_k.weight"),
            {},
            "incomplete: encoder.blocks.7.to_k.weight is missing",
        ),
        (
            "wfvae_small",
            without("encoder.wavelet_transform.stage1_conv_out.conv.bias"),
            {},
            "missing",
        ),
        (
            "wfvae_small",
            lambda w: {**w, "extra": torch.zeros(1)},
            {},
            "1 are unknown, such as extra",
        ),
        (
            "wfvae_small",
            lambda w: {
                **w,
                "encoder.wavelet_transform.stage1.h_conv.weight": torch.ones(1, 1, 2, 2, 2),
            },
            {},
            "other than Haar's",
        ),
        (
            "maisi_vae_small",
            lambda w: {k: t for k, t in w.items() if "er.blocks.4" not in k},
            {},
            "incomplete",
        ),
        ("wfvae_small", lambda _: {"weight": torch.zeros(3)}, {}, "no encoder.stages"),
        ("maisi_vae_small", lambda _: {"weight": torch.zeros(3)}, {}, "not those of MAISI"),
        ("autoencoder_kl_small", lambda _: {"weight": torch.zeros(3)}, {}, "no encoder.blocks"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name, change, settings, message):
    golden = released(name)
    with pytest.raises(CheckpointError, match=message) as caught:
        LOADERS[name](change(golden.weights), {**GROUPS, **settings})
    assert "\n" not in str(caught.value)


def test_maisis_weights_are_not_monais():
    ours, theirs = released("autoencoder_kl_small"), released("maisi_vae_small")
    with pytest.raises(CheckpointError, match="import them as maisi"):
        autoencoder_kl.autoencoder(theirs.weights, GROUPS)
    with pytest.raises(CheckpointError, match="as monai"):
        maisi.autoencoder(ours.weights, GROUPS)


# As folders


def saved(folder: Path, name: str, wrapper: str | None = None, prefix: str = "") -> Path:
    weights = {f"{prefix}{key}": tensor for key, tensor in released(name).weights.items()}
    torch.save(weights if wrapper is None else {wrapper: weights, "epoch": 3}, folder / "model.pt")
    return folder / "model.pt"


def settings(folder: Path, values: dict) -> Path:
    (folder / "settings.json").write_text(json.dumps(values))
    return folder / "settings.json"


@pytest.mark.parametrize("name", KINDS)
def test_an_imported_autoencoder_is_loaded_from_its_folder(name, tmp_path):
    path, out = saved(tmp_path, name), tmp_path / "out"
    config = settings(tmp_path, released(name).config)
    import_model(KINDS[name], path, out=out, config=config, target="t1w,t2w", licence="MIT")
    recipe, module = load_autoencoder(out)
    agrees(module, released(name))
    assert recipe.targets == ("t1w", "t2w")
    assert recipe.licence == "MIT"
    assert recipe.autoencoder == module.config
    assert all(e % f == 0 for e, f in zip(recipe.preprocess.shape, (4, 4, 4), strict=True))


@pytest.mark.parametrize("wrapper", ["unet_state_dict", "state_dict", "autoencoder"])
def test_weights_are_found_in_a_training_checkpoint(wrapper, tmp_path):
    path = saved(tmp_path, "maisi_vae_small", wrapper)
    config = settings(tmp_path, GROUPS)
    agrees(
        import_model("maisi", path, out=tmp_path / "out", config=config),
        released("maisi_vae_small"),
    )


def test_other_networks_of_brainmints_training_are_left_out(tmp_path):
    weights = {f"autoencoder.{k}": t for k, t in released("wfvae_small").weights.items()}
    weights["discriminator.weight"] = torch.zeros(2)
    torch.save({"state_dict": weights}, tmp_path / "last.ckpt")
    config = settings(tmp_path, GROUPS)
    module = import_model("wfvae", tmp_path / "last.ckpt", out=tmp_path / "out", config=config)
    agrees(module, released("wfvae_small"))


def test_maisis_whole_configuration_is_read(tmp_path):
    golden = released("maisi_vae_small")
    section = {**golden.config, "latent_channels": "@latent_channels", "norm_float16": True}
    whole = {"latent_channels": 4, "autoencoder_def": section, "noise_scheduler": {"scale": 1.4}}
    path, config = saved(tmp_path, "maisi_vae_small"), settings(tmp_path, whole)
    agrees(import_model("maisi", path, out=tmp_path / "out", config=config), golden)


def test_what_volumes_are_to_be_can_be_said(tmp_path):
    volumes = {"shape": [40, 48, 40], "spacing": [4, 4, 4]}
    config = settings(tmp_path, {**GROUPS, "preprocess": volumes})
    path = saved(tmp_path, "wfvae_small")
    import_model("wfvae", path, out=tmp_path / "out", config=config)
    recipe, _ = load_autoencoder(tmp_path / "out")
    assert recipe.preprocess.shape == (40, 48, 40)
    assert recipe.preprocess.spacing == (4.0, 4.0, 4.0)
    assert recipe.preprocess.intensity.upper == 99.6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preprocess": {"shape": [41, 48, 40]}}, r"must be a multiple of 4 x 4 x 4|multiple of"),
        ({"preprocess": {"edges": [40, 48, 40]}}, "no field 'edges'"),
        ({"preprocess": "2 mm"}, "preprocess is '2 mm'"),
        ({"autoencoder_def": 3}, "autoencoder_def is 3"),
        ({"latent_channels": "@latent"}, "latent_channels is @latent, and there is no latent"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message, tmp_path):
    path, config = saved(tmp_path, "maisi_vae_small"), settings(tmp_path, {**GROUPS, **values})
    with pytest.raises(CheckpointError, match=message):
        import_model("maisi", path, out=tmp_path / "out", config=config)
    assert not (tmp_path / "out").exists()


def test_an_autoencoder_of_masks_is_not_one_of_volumes(tmp_path):
    weights = released("maisi_vae_small").weights
    entry = next(name for name in weights if re.search(r"^encoder\.blocks\.0\..*weight", name))
    weights[entry] = weights[entry].expand(-1, 8, -1, -1, -1).contiguous()
    torch.save(weights, tmp_path / "masks.pt")
    config = settings(tmp_path, GROUPS)
    with pytest.raises(CheckpointError, match="takes 8 channels and gives 1"):
        import_model("maisi", tmp_path / "masks.pt", out=tmp_path / "out", config=config)


def test_nothing_is_written_over(tmp_path):
    path = saved(tmp_path, "maisi_vae_small")
    with pytest.raises(OutputError, match="not empty"):
        import_model("maisi", path, out=tmp_path, config=settings(tmp_path, GROUPS))


def test_an_option_of_other_importers_is_refused(tmp_path):
    path = saved(tmp_path, "maisi_vae_small")
    with pytest.raises(CheckpointError, match="--steps means nothing to the importer maisi"):
        import_model("maisi", path, out=tmp_path / "out", steps=10)
