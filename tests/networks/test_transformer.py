"""The transformer: its patches and places, its arithmetic, what it hears, what it costs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainweave.conditions import Images, Signal
from brainweave.conditions.hiding import Listen
from brainweave.cost import flops_per_call, generation_memory, parameter_count, training_memory
from brainweave.data.volume import Volume
from brainweave.errors import RecipeError
from brainweave.generator import Generator
from brainweave.model_folder import load_recipe
from brainweave.networks import Transformer, TransformerConfig
from brainweave.networks.blocks import Attention, fourier
from brainweave.networks.transformer import TransformerBlock, joined, patches, positions
from brainweave.part import override, to_dict
from brainweave.recipe import Recipe

PLAIN = TransformerConfig(width=16, depth=2, heads=2, mlp_ratio=2, condition_width=6)
TRANSFORMERS = {
    "plain": PLAIN,
    "deaf to tokens": PLAIN.replace(cross_attention=False),
    "gain": PLAIN.replace(gain=True),
    "odd": PLAIN.replace(width=21, heads=3, patch=1, depth=1, mlp_ratio=3),
    "coarse": PLAIN.replace(patch=4, time_scale=1.0),
}
each_transformer = pytest.mark.parametrize("config", TRANSFORMERS.values(), ids=TRANSFORMERS)
CPU = torch.device("cpu")


def drawn_normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def spoken(module: nn.Module) -> nn.Module:
    """The module with layers that start at zero or one drawn, as after training."""
    source = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if float(parameter.detach().std(correction=0)) == 0:
            nn.init.normal_(
                parameter, mean=float(parameter.detach().mean()), std=0.2, generator=source
            )
    return module.eval()


def spoken_transformer(config: TransformerConfig, channels: int = 3) -> Transformer:
    torch.manual_seed(0)
    network = spoken(config.build(channels, 3))
    assert isinstance(network, Transformer)
    return network


@pytest.fixture
def x() -> Tensor:
    return drawn_normal(2, 3, 4, 8, 4)


@pytest.fixture
def clock() -> Tensor:
    return torch.tensor([0.2, 0.7])


@pytest.fixture
def signal() -> Signal:
    return Signal(vector=drawn_normal(2, 6, seed=2), tokens=drawn_normal(2, 3, 6, seed=3))


# Patches


@pytest.mark.parametrize("edge", [1, 2, 4])
def test_patches_are_the_cubes_of_the_volume(x, edge):
    rows, n = patches(x, edge), 0
    for i in range(0, 4, edge):
        for j in range(0, 8, edge):
            for k in range(0, 4, edge):
                cube = x[:, :, i : i + edge, j : j + edge, k : k + edge]
                assert torch.equal(rows[:, n], cube.flatten(1))
                n += 1
    assert n == rows.shape[1]


@pytest.mark.parametrize("edge", [1, 2, 4])
def test_joined_patches_are_the_volume(x, edge):
    back = joined(patches(x, edge), edge, (4 // edge, 8 // edge, 4 // edge))
    assert torch.equal(back, x)
    assert back.is_contiguous()


def test_the_stem_is_a_convolution_with_the_stride_of_its_kernel(x):
    stem = PLAIN.build(3, 3).stem
    kernel = stem.weight.view(16, 3, 2, 2, 2)
    expected = F.conv3d(x, kernel, stem.bias, stride=2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(stem(patches(x, 2)), expected)


# Places


def test_every_patch_has_a_place_of_its_own():
    places = positions((3, 4, 5), 16, CPU)
    apart = torch.cdist(places, places) + 9 * torch.eye(60)
    assert places.shape == (60, 16)
    assert apart.min() > 0.1


def test_a_place_is_cos_and_sin_of_its_distance_from_the_middle_along_each_axis():
    places = positions((3, 4, 5), 20, CPU).view(3, 4, 5, 20)
    i, j, k = fourier(torch.tensor([1.0, -1.5, 2.0]), 6)
    torch.testing.assert_close(places[2, 0, 4], torch.cat([i, j, k, torch.zeros(2)]))


def test_places_do_not_depend_on_the_grids_size():
    small = positions((2, 4, 3), 18, CPU).view(2, 4, 3, 18)
    large = positions((6, 8, 5), 18, CPU).view(6, 8, 5, 18)
    assert torch.equal(large[2:4, 2:6, 1:4], small)


def test_products_of_places_depend_on_their_distance_only():
    places = positions((4, 4, 4), 24, CPU).double().view(4, 4, 4, 24)
    products = [places[1:, :-1] * places[:-1, 1:], places[1:, :-2] * places[:-1, 2:]]
    assert all(product.sum(3).std() < 1e-6 for product in products)


# Attention


def in_words(attention: Attention, x: Tensor, context: Tensor) -> Tensor:
    """Attention as it is defined, query by query and head by head."""
    size = attention.query.out_features // attention.heads
    rows = []
    for b in range(len(x)):
        for token in x[b]:
            heads = []
            for part in (slice(h * size, (h + 1) * size) for h in range(attention.heads)):
                q = attention.query.weight[part] @ token
                k = context[b] @ attention.key.weight[part].T
                if attention.norms:
                    scales = [norm.weight for norm in attention.norms]
                    q = scales[0] * q / (q.square().mean() + 1e-6).sqrt()
                    k = scales[1] * k / (k.square().mean(1, keepdim=True) + 1e-6).sqrt()
                share = (k @ q / size**0.5).exp()
                v = context[b] @ attention.value.weight[part].T
                heads.append((share / share.sum()) @ v)
            rows.append(attention.out.weight @ torch.cat(heads) + attention.out.bias)
    return torch.stack(rows).view(len(x), -1, attention.out.out_features)


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_is_what_it_is_by_definition(qk_norm, dropout):
    torch.manual_seed(0)
    attention = spoken(Attention(12, 6, 3, dropout, qk_norm=qk_norm)).double()
    x, context = drawn_normal(2, 5, 12).double(), drawn_normal(2, 4, 6).double()
    torch.testing.assert_close(attention(x, context), in_words(attention, x, context))


def test_normed_queries_and_keys_hear_no_amplitude():
    attention = spoken(Attention(12, 6, 3, 0.0, qk_norm=True)).double()
    x, context = drawn_normal(2, 5, 12).double(), drawn_normal(2, 4, 6).double()
    before = attention(x, context)
    attention.key.weight.data *= 1000
    torch.testing.assert_close(attention(1000 * x, context), before, rtol=1e-4, atol=1e-5)


def test_a_new_attention_without_norms_has_the_tensors_of_older_ones():
    names = ["query.weight", "key.weight", "value.weight", "out.weight", "out.bias"]
    assert list(Attention(12, 6, 3, 0.0).state_dict()) == names


# The whole


def standard(z: Tensor) -> Tensor:
    return (z - z.mean(2, keepdim=True)) / (z.var(2, correction=0, keepdim=True) + 1e-6).sqrt()


def written_out(network: Transformer, x: Tensor, clock: Tensor, signal: Signal) -> Tensor:
    """The network's output from its weights, by the equations of DiT."""
    config = network.config
    first, _, last = network.time
    time = fourier(config.time_scale * clock, config.width)
    said = last(F.silu(first(time))) + network.film(signal.vector)
    counts = tuple(edge // config.patch for edge in x.shape[2:])
    z = network.stem(patches(x, config.patch)) + positions(counts, config.width, CPU)
    for block in network.blocks:
        six = block.modulation(F.silu(said)).view(len(x), 6, 1, -1).unbind(1)
        here = standard(z) * (1 + six[1]) + six[0]
        z = z + six[2] * in_words(block.attention, here, here)
        if block.cross is not None:
            z = z + in_words(block.cross, standard(z), block.norm_context(signal.tokens))
        here = standard(z) * (1 + six[4]) + six[3]
        hidden = F.gelu(block.mlp[0](here), approximate="tanh")
        z = z + six[5] * block.mlp[3](hidden)
    shift, scale = network.modulation(F.silu(said)).view(len(x), 2, 1, -1).unbind(1)
    rows = network.head(standard(z) * (1 + scale) + shift)
    out = joined(rows, config.patch, counts)
    return out[:, :3] + out[:, 3:] * x if config.gain else out


@each_transformer
def test_its_output_is_that_of_its_equations(config, x, clock, signal):
    network = spoken_transformer(config).double()
    x, clock = x[:, :, :, :4].double(), clock.double()
    heard = Signal(signal.vector.double(), signal.tokens.double())
    expected = written_out(network, x, clock, heard)
    torch.testing.assert_close(network(x, clock, heard), expected, rtol=1e-6, atol=1e-6)


@each_transformer
def test_an_untrained_transformer_says_zero(config, x, clock, signal):
    assert not config.build(3, 3)(x, clock, signal).any()


@each_transformer
def test_an_untrained_block_is_the_identity(config):
    z, said = drawn_normal(2, 5, config.width), drawn_normal(2, config.width)
    assert torch.equal(TransformerBlock(config)(z, said, drawn_normal(2, 3, 6)), z)


def test_an_untrained_transformer_is_drawn_evenly_with_no_bias():
    for layer in PLAIN.replace(width=48).build(3, 3).modules():
        if isinstance(layer, nn.Linear) and layer.weight.any():
            bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
            assert 0.95 * bound < layer.weight.abs().max() <= bound
            assert layer.bias is None or not layer.bias.any()


@each_transformer
def test_a_block_without_places_does_not_know_the_order_of_tokens(config):
    block, order = spoken(TransformerBlock(config)).double(), torch.randperm(7)
    z, said = drawn_normal(2, 7, config.width).double(), drawn_normal(2, config.width).double()
    tokens = drawn_normal(2, 3, 6).double()
    after = block(z, said, tokens)[:, order]
    torch.testing.assert_close(block(z[:, order], said, tokens.flip(1)), after)


@each_transformer
def test_it_has_as_many_parameters_as_its_formula(config):
    w, heard, cells = config.width, config.condition_width, config.patch**3
    outputs = 6 if config.gain else 3
    attention = 4 * w * w + w + 2 * (w // config.heads)
    cross = attention - 2 * w * w + 2 * heard * w + 2 * heard if config.cross_attention else 0
    hidden = config.mlp_ratio * w
    block = 6 * (w * w + w) + attention + cross + 2 * w * hidden + hidden + w
    ends = (5 * cells + 1) * w + (w + 1) * cells * outputs + 2 * (w * w + w)
    total = config.depth * block + ends + 2 * (w * w + w) + (heard + 1) * w
    assert sum(p.numel() for p in config.build(5, 3).parameters()) == total


@pytest.mark.parametrize("edges", [(2, 2, 2), (4, 8, 6), (10, 2, 4)], ids=str)
def test_any_grid_of_whole_patches_will_do(edges, clock, signal):
    network = spoken_transformer(PLAIN)
    with torch.no_grad():
        output = network(drawn_normal(2, 3, *edges), clock, signal)
    assert output.shape == (2, 3, *edges)
    assert output.isfinite().all()


def test_places_tell_patches_apart(clock, signal):
    network = spoken_transformer(PLAIN)
    with torch.no_grad():
        output = network(torch.zeros(2, 3, 8, 8, 8), clock, signal)
    corners = output[:, :, ::2, ::2, ::2].flatten(2)  # the same cell of every patch
    assert corners.std(2).min() > 1e-4


def test_planes_stand_beside_the_input_of_a_transformer(x, clock, signal):
    network = spoken_transformer(PLAIN)
    planes = Signal(signal.vector, signal.tokens, x[:, 2:])
    with torch.no_grad():
        assert torch.equal(network(x[:, :2], clock, planes), network(x, clock, signal))


def test_a_transformers_gain_multiplies_x_t_and_not_the_planes(x, clock, signal):
    network = PLAIN.replace(gain=True).build(5, 3)
    nn.init.constant_(network.head.bias, 2.0)  # an untrained head says its bias only
    with torch.no_grad():
        output = network(x, clock, Signal(signal.vector, signal.tokens, x[:, :2]))
    torch.testing.assert_close(output, 2 + 2 * x)


@each_transformer
def test_a_volume_of_a_transformer_does_not_depend_on_its_neighbours(config, x, clock, signal):
    network = spoken_transformer(config)
    alone = Signal(vector=signal.vector[1:], tokens=signal.tokens[1:])
    with torch.no_grad():
        both, one = network(x, clock, signal), network(x[1:], clock[1:], alone)
    torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-5)


@each_transformer
def test_bf16_autocast_gives_float32_near_the_exact(config, x, clock, signal):
    network = spoken_transformer(config)
    with torch.no_grad():
        exact = network(x, clock, signal)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(x, clock, signal)
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() / exact.norm() < 0.03


# What it hears


@each_transformer
@pytest.mark.parametrize("what", ["vector", "tokens", "clock"])
def test_a_transformer_hears_what_it_can(config, x, clock, signal, what):
    network = spoken_transformer(config)
    parts = {"vector": signal.vector, "tokens": signal.tokens, "clock": clock}
    changed = parts | {what: parts[what] + drawn_normal(*parts[what].shape, seed=5)}
    with torch.no_grad():
        said = [network(x, p.pop("clock"), Signal(**p)) for p in (dict(parts), dict(changed))]
    change = (said[1] - said[0]).abs().amax((1, 2, 3, 4))
    assert change.min() > 1e-3 if what != "tokens" or config.attends else change.max() == 0


def test_it_attends_only_where_there_are_tokens_to_hear():
    configs = (PLAIN, PLAIN.replace(cross_attention=False), PLAIN.replace(condition_width=0))
    assert [config.attends for config in configs] == [True, False, False]


def test_a_transformer_may_hear_nothing(x, clock):
    network = spoken_transformer(PLAIN.replace(condition_width=0))
    assert network(x, clock, Signal()).std() > 0


# Training


def slopes(network: Transformer, x: Tensor, clock: Tensor, signal: Signal) -> dict[str, Tensor]:
    network(x, clock, signal).square().sum().backward()
    named = network.named_parameters()
    return {name: p.grad for name, p in named if p.grad is not None and p.grad.any()}


@each_transformer
def test_gradients_reach_every_parameter_of_a_transformer(config, x, clock, signal):
    network = spoken_transformer(config)
    found = slopes(network, x, clock, signal)
    assert set(found) == {name for name, _ in network.named_parameters()}


@each_transformer
def test_checkpointing_changes_nothing_of_a_transformer(config, x, clock, signal):
    config = config.replace(dropout=0.5)
    both = [config, config.replace(checkpointing=True)]
    found = []
    for network in map(spoken_transformer, both):
        torch.manual_seed(1)
        found.append(slopes(network.train(), x, clock, signal))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


def test_dropout_acts_in_training_only(x, clock, signal):
    network = spoken_transformer(PLAIN.replace(dropout=0.5))
    exact = spoken_transformer(PLAIN)(x, clock, signal)
    assert torch.equal(network(x, clock, signal), exact)
    assert not torch.equal(network.train()(x, clock, signal), exact)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "3 heads do not divide the width 16"),
        ({"patch": 0}, "patch"),
        ({"width": 4}, "width"),
        ({"depht": 2}, "did you mean 'depth'"),
    ],
    ids=str,
)
def test_a_transformer_that_cannot_be_built_is_refused_at_once(change, message):
    values = {name: getattr(PLAIN, name) for name in PLAIN.fields()}
    with pytest.raises(RecipeError, match=message):
        TransformerConfig(**{**values, **change})


# In a recipe


@pytest.fixture(scope="module")
def transforming(tiny_recipe: Recipe) -> Recipe:
    return tiny_recipe.replace(network=PLAIN.replace(condition_width=16))


@pytest.fixture(scope="module")
def spoken_generator(transforming: Recipe, randomised: Callable[[Recipe], Generator]) -> Generator:
    return randomised(transforming)


def test_a_recipe_names_the_nearest_shape_that_patches_divide(transforming: Recipe) -> None:
    network = PLAIN.replace(patch=3)
    with pytest.raises(RecipeError, match=r"multiple of 6 in every edge .* \(18, 18, 18\)"):
        transforming.replace(network=network)


def test_every_way_of_listening_to_a_transformer_differs(spoken_generator: Generator) -> None:
    values = {"age": torch.tensor([[30.0]]), "sex": torch.tensor([[1.0]])}
    made = [spoken_generator.sample(values, [3], listen=way) for way in get_args(Listen)]
    apart = [(a - b).abs().max() for n, a in enumerate(made) for b in made[:n]]
    assert len(apart) == 6
    assert min(apart) > 0.01


def test_a_seed_alone_is_the_seed_in_a_batch_of_a_transformer(spoken_generator: Generator) -> None:
    both, alone = spoken_generator.sample({}, [3, 4]), spoken_generator.sample({}, [4])
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)


def test_images_give_a_transformer_their_grid(
    transforming: Recipe, randomised: Callable[[Recipe], Generator]
) -> None:
    generator = randomised(transforming.replace(conditions=(Images(modalities=("t2w",)),)))
    shown = [{"t2w": drawn_normal(1, 1, 24, 16, 8, seed=seed)} for seed in (1, 2)]
    made = [generator.sample(values, [3]) for values in shown]
    assert made[0].shape == (1, 1, 24, 16, 8)
    assert (made[0] - made[1]).abs().max() > 0.01


def test_a_transformer_comes_back_from_its_folder(
    spoken_generator: Generator, tmp_path: Path
) -> None:
    spoken_generator.save(tmp_path)
    back = Generator.load(tmp_path)
    assert back.recipe == spoken_generator.recipe
    assert torch.equal(back.sample({}, [3]), spoken_generator.sample({}, [3]))


def test_the_cost_of_a_transformer_is_counted_with_its_attention(transforming: Recipe) -> None:
    config, recipe = transforming.network, transforming.replace(conditions=())
    n, w, cells = 64, config.width, config.patch**3
    block = (4 + 2 * config.mlp_ratio) * n * w * w + 2 * n * n * w + 6 * w * w
    products = config.depth * block + 2 * n * cells * 8 * w + 2 * w * w + 2 * w * w
    assert flops_per_call(recipe) == 2 * products
    assert parameter_count(recipe) == sum(p.numel() for p in config.build(8, 8).parameters())
    assert 0 < generation_memory(recipe) < training_memory(recipe)


def test_a_transformer_is_named_trained_and_used_on_the_command_line(
    cli: Callable[..., Any], recipe_file: Path, heads: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    sizes = {"heads": 2, "width": 16, "depth": 1, "condition_width": 8}
    sized = [f"network.{name}={size}" for name, size in sizes.items()]
    named = ("network=TransformerConfig", *sized, "training.steps=2", "training.precision=bf16")
    ended = cli("train", recipe_file, f"data={heads}", f"out={run}", *named)
    assert ended.code == 0, ended.err
    assert load_recipe(run).network == TransformerConfig(**sizes)
    assert "TransformerConfig(" in cli("inspect", run).out
    ended = cli("generate", run, "age=30,70", "sex=F", "--listen", "attention", "--out", out)
    assert ended.code == 0, ended.err
    made = [Volume.load(path) for path in out.glob("*.nii.gz")]
    template = load_recipe(run).template
    assert template is not None
    assert [volume.data.shape for volume in made] == 2 * [template.shape]


def test_a_transformer_may_be_assigned_as_json(transforming: Recipe) -> None:
    other = PLAIN.replace(patch=4, condition_width=16)
    assert override(transforming, f"network={json.dumps(to_dict(other))}").network == other
