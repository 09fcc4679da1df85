"""Training autoencoders: what is shown, what is lost, who opposes, and that a run can stop."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from watching import signal_at

from brainweave.backbones import medicalnet
from brainweave.compression import Adversary, AutoencoderRecipe, AutoencoderTraining, Features
from brainweave.data.cohort import Cohort
from brainweave.data.dataset import Batch
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.data.tensors import load_tensors
from brainweave.errors import CheckpointError, Interrupted, RecipeError, TrainingError
from brainweave.model_folder import load_autoencoder
from brainweave.part import override
from brainweave.progress import Reporter
from brainweave.recipes import build
from brainweave.representations.autoencoders import Reconstruction
from brainweave.representations.autoencoders.wavelet_flow import WaveletFlowConfig
from brainweave.representations.haar import analyse
from brainweave.training import adversary, autoencoder_losses
from brainweave.training.adversary import Discriminator
from brainweave.training.autoencoder import OPPONENT, AutoencoderTrainer
from brainweave.training.engine import Engine
from brainweave.training.loop import Volumes
from brainweave.training.patches import patches
from brainweave.training.reconstruction import errors
from brainweave.training.run import train

ONLY_ERROR = ("training.kl=0", "training.wavelet=0", "training.perceptual=0")


def recipe(*assignments: str) -> AutoencoderRecipe:
    """Two levels, so that coefficients flow; every term has a weight, the opponent comes late."""
    small = AutoencoderRecipe(
        name="small",
        preprocess=Preprocess(shape=(16, 16, 16)),
        autoencoder=WaveletFlowConfig(widths=(6, 8), flow=4, blocks=0),
        training=AutoencoderTraining(
            steps=8,
            batch=2,
            lr=1e-3,
            patch=(8, 8, 8),
            whole_from=0.75,
            perceptual=0.1,
            adversarial=0.1,
            adversarial_from=0.25,
            adversary=Adversary(width=4, layers=2),
            validation=0.25,
            validate_every=8,
            save_every=2,
        ),
    )
    for assignment in assignments:
        small = override(small, assignment)
    return small


def trainer(plan: AutoencoderRecipe, cohort: Cohort, folder: Path) -> AutoencoderTrainer:
    torch.manual_seed(0)
    module = plan.autoencoder.build()
    for name, parameter in module.named_parameters():  # zero at the start, which hides the rest
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
        assert parameter.any(), name
    seen, report = Volumes(plan.dataset(cohort), None), Reporter(quiet=True)
    return AutoencoderTrainer(module, plan, seen, folder, Engine("cpu"), report=report)


def gradients(own: AutoencoderTrainer, step: int) -> dict[str, Tensor]:
    """Of the autoencoder at a step, of the volumes of the first one."""
    batch = Batch.of([own.training[0, 0], own.training[1, 0]])
    own.done = step
    own.learner.begin(0.0)
    own._backward(batch, 0)
    return {n: p.grad.clone() for n, p in own.module.named_parameters() if p.grad is not None}


def differ(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return any(not torch.equal(a[name], b[name]) for name in a)


# What is shown


def test_patches_depend_on_seed_and_step_alone(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(recipe(), cohort, tmp_path)
    first = gradients(own, 1)
    torch.rand(17)
    assert not differ(first, gradients(own, 1))
    assert differ(first, gradients(own, 0))


def test_patches_lie_inside_and_show_the_head() -> None:
    volume = torch.full((1, 1, 12, 16, 8), -1.0)
    volume[0, 0, 9, 0, 3] = 0.5
    places = torch.arange(volume.numel()).view(volume.shape)
    for seed in range(5):
        random = torch.Generator().manual_seed(seed)
        found = patches(volume, (4, 8, 8), random, background=-1.0)
        assert found.shape == (1, 1, 4, 8, 8)
        assert found.max() == 0.5
        shown = patches(places.float(), (4, 8, 8), random, background=-1.0)[0, 0]
        start = int(shown[0, 0, 0])
        i, j, k = start // 128, start // 8 % 16, start % 8
        assert torch.equal(shown, places[0, 0, i : i + 4, j : j + 8, k : k + 8].float())


def test_every_voxel_of_a_volume_without_a_head_is_as_likely() -> None:
    volume = torch.zeros(1, 1, 4, 4, 4)
    random = torch.Generator().manual_seed(0)
    assert patches(volume, (4, 4, 4), random, background=0.0).shape == volume.shape


def test_whole_volumes_follow_patches_one_by_one(cohort: Cohort, tmp_path: Path) -> None:
    own, random = trainer(recipe(), cohort, tmp_path), torch.Generator()
    volumes = torch.stack([own.training[0, 0].volume, own.training[1, 0].volume])
    shapes = []
    for own.done in (5, 6):
        shapes.append([tuple(piece.shape) for piece in own._shown(volumes, random)])
    assert shapes == [[(2, 1, 8, 8, 8)], [(1, 1, 16, 16, 16)] * 2]


def test_without_patches_whole_volumes_are_shown_together(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(recipe("training.patch=none"), cohort, tmp_path)
    volumes = torch.zeros(2, 1, 16, 16, 16)
    assert [piece.shape for piece in own._shown(volumes, torch.Generator())] == [volumes.shape]


def test_volumes_one_by_one_give_the_gradient_of_their_mean(cohort: Cohort, tmp_path: Path) -> None:
    plain = ("training.adversarial=0", "training.kl=0", "training.whole_from=0")
    apart = trainer(recipe(*plain), cohort, tmp_path)
    together = trainer(recipe(*plain, "training.patch=none"), cohort, tmp_path)
    for own in (apart, together):  # no noise, which is drawn in another order
        nn.init.constant_(own.module.encoder.head.bias[4:], -60.0)
        nn.init.zeros_(own.module.encoder.head.weight[4:])
    torch.testing.assert_close(gradients(apart, 0), gradients(together, 0), rtol=1e-3, atol=1e-6)


# What is lost


@pytest.mark.parametrize("term", ["kl", "wavelet", "perceptual", "adversarial"])
def test_a_term_acts_with_its_weight_alone(cohort: Cohort, tmp_path: Path, term: str) -> None:
    none = (*ONLY_ERROR, "training.adversarial=0")
    without = gradients(trainer(recipe(*none), cohort, tmp_path), 4)
    with_it = gradients(trainer(recipe(*none, f"training.{term}=0.5"), cohort, tmp_path), 4)
    assert differ(without, with_it)


def test_terms_are_means_whatever_the_size() -> None:
    made = torch.randn(2, 1, 8, 8, 8)
    real = torch.randn(2, 1, 8, 8, 8)
    small = Reconstruction(made, made, made.exp(), ((analyse(made), analyse(real)),))
    large = Reconstruction(*(x.repeat(1, 1, 2, 1, 1) for x in small[:3]))
    wide = [x.repeat(1, 1, 2, 1, 1) for x in (made, real)]
    close = torch.testing.assert_close
    close(autoencoder_losses.absolute(*wide), autoencoder_losses.absolute(made, real))
    close(autoencoder_losses.divergence(large), autoencoder_losses.divergence(small))
    pairs = ((analyse(wide[0]), analyse(wide[1])),)
    close(
        autoencoder_losses.of_wavelets(pairs, wide[0][0].numel()),
        autoencoder_losses.of_wavelets(small.wavelets, made[0].numel()),
    )


def test_divergence_is_that_of_normal_distributions() -> None:
    mu, sigma = torch.tensor([[0.3, -1.2]]), torch.tensor([[0.5, 2.0]])
    distribution = torch.distributions.Normal(mu, sigma)
    wanted = torch.distributions.kl_divergence(distribution, torch.distributions.Normal(0.0, 1.0))
    shaped = [x[:, :, None, None, None] for x in (mu, sigma)]
    found = autoencoder_losses.divergence(Reconstruction(shaped[0], *shaped))
    torch.testing.assert_close(found, wanted.mean(1))


def test_detail_is_blind_to_brightness_and_sees_blur() -> None:
    real = torch.randn(1, 1, 8, 8, 8)
    brighter = real + 0.3
    blurred = nn.functional.avg_pool3d(real, 3, 1, 1)
    assert autoencoder_losses.of_detail(brighter, real).item() == pytest.approx(0, abs=1e-6)
    assert autoencoder_losses.of_detail(blurred, real).item() > 0.3


def test_detail_takes_odd_edges() -> None:
    real = torch.randn(1, 1, 5, 7, 9)
    assert autoencoder_losses.of_detail(real, real).item() == 0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a published network, at random."""
    path = tmp_path_factory.mktemp("weights") / "resnet_10.pth"
    torch.manual_seed(0)
    torch.save(medicalnet.Backbone(10).state_dict(), path)
    return path


def test_features_of_a_published_network_replace_detail(
    cohort: Cohort, tmp_path: Path, weights: Path
) -> None:
    plan = recipe(*ONLY_ERROR, "training.adversarial=0", "training.perceptual=0.5")
    features = Features(weights=str(weights)).noted()
    other = plan.replace(training=plan.training.replace(features=features))
    own = trainer(other, cohort, tmp_path)
    assert differ(gradients(trainer(plan, cohort, tmp_path), 0), gradients(own, 0))
    assert all(p.grad is None for p in own.maps.parameters())
    same = torch.rand(1, 1, 8, 8, 8)
    assert own.maps(same, same, torch.Generator()).item() == 0
    assert own.maps(same + 0.5, same, torch.Generator()).item() > 0


def test_weights_that_changed_under_a_run_are_refused(
    cohort: Cohort, tmp_path: Path, weights: Path
) -> None:
    plan = recipe()
    features = Features(weights=str(weights), sha256="0" * 64)
    plan = plan.replace(training=plan.training.replace(features=features))
    with pytest.raises(CheckpointError, match="another file than the run began with"):
        trainer(plan, cohort, tmp_path)


# Who opposes


def test_discriminator_begins_when_told_and_its_weight_rises(
    cohort: Cohort, tmp_path: Path
) -> None:
    own = trainer(recipe(), cohort, tmp_path)
    batches, learner = own.batches(), own.others[OPPONENT]
    start = {n: t.clone() for n, t in learner.module.named_parameters()}
    facts = [own.step(batches)[0] for _ in range(2)]
    assert not differ(start, dict(learner.module.named_parameters()))
    assert [(f["adversarial"], f["discriminator"]) for f in facts] == [(0, 0)] * 2
    facts = [own.step(batches)[0] for _ in range(2)]
    assert differ(start, dict(learner.module.named_parameters()))
    assert [f["adversarial"] > 0 for f in facts] == [False, True]


def test_discriminator_learns_nothing_from_the_autoencoders_term(
    cohort: Cohort, tmp_path: Path
) -> None:
    own = trainer(recipe(), cohort, tmp_path)
    made = torch.rand(1, 1, 8, 8, 8, requires_grad=True)
    own._fooling(made).sum().backward()
    assert made.grad is not None
    assert all(p.grad is None for p in own.others[OPPONENT].module.parameters())
    assert all(p.requires_grad for p in own.others[OPPONENT].module.parameters())


def test_discriminator_learns_to_tell_real_from_made() -> None:
    torch.manual_seed(0)
    judge = Discriminator(Adversary(width=8, layers=2))
    optimiser = torch.optim.Adam(judge.parameters(), lr=1e-2)
    real, made = torch.randn(8, 1, 8, 8, 8), torch.zeros(8, 1, 8, 8, 8)
    losses = []
    for _ in range(40):
        loss = adversary.caught(judge(real), judge(made)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_kernels_of_the_discriminator_stretch_nothing() -> None:
    torch.manual_seed(0)
    judge = Discriminator(Adversary(width=8, layers=2))
    for layer in judge.layers[::2]:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert norm.item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (50, 0.0), (52, 0.4), (55, 1.0), (100, 1.0)])
def test_the_adversarial_weight_rises_on_a_line(step: int, share: float) -> None:
    assert adversary.strength(step, 100, 0.5) == pytest.approx(share)


# Runs


@pytest.fixture(scope="module")
def whole(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    torch.set_num_threads(1)
    train(recipe(), cohort, folder, device="cpu", show=False)
    return folder


def test_a_resumed_run_equals_the_uninterrupted_one(
    cohort: Cohort, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    signal_at(folder, 4, 15)
    with pytest.raises(Interrupted):
        train(recipe("training.save_every=1"), cohort, folder, device="cpu", show=False)
    train(recipe(), cohort, folder, device="cpu", show=False)
    (mine, own), (theirs, other) = (
        load_tensors(place / "state" / "step-00000008.safetensors") for place in (folder, whole)
    )
    assert own == other
    assert any(name.startswith(f"{OPPONENT}.adamw.exp_avg.") for name in mine)
    assert any(name.startswith(f"{OPPONENT}.weights.") for name in mine)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_a_run_folder_holds_the_averaged_autoencoder(whole: Path) -> None:
    kept, module = load_autoencoder(whole)
    state, _ = load_tensors(whole / "state" / "step-00000008.safetensors")
    assert kept.template is not None
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[f"ema.{name}"])


def test_lost_weights_of_a_finished_run_are_made_again(
    cohort: Cohort, whole: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    (folder / "weights.safetensors").unlink()
    train(recipe(), cohort, folder, device="cpu", show=False)
    a, b = (load_autoencoder(place)[1].state_dict() for place in (whole, folder))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_journal_tells_every_term(whole: Path) -> None:
    events = [json.loads(line) for line in (whole / "journal.jsonl").read_text().splitlines()]
    last = [event for event in events if event["kind"] == "train"][-1]
    assert all(last[name] > 0 for name in AutoencoderTrainer.told)
    assert {"loss", "psnr", "sigma"} < events[-1].keys()
    assert (whole / "samples" / "step-000008.png").is_file()


def test_validation_returns_means_not_draws(cohort: Cohort, whole: Path) -> None:
    plan, module = load_autoencoder(whole)
    seen = plan.dataset(cohort)
    volumes = torch.stack([seen[index, 0].volume for index in range(len(seen))])
    with torch.no_grad():
        back = module.reconstruct(volumes).clamp(-1, 1)
    found = errors(module, plan, seen, Engine("cpu"))
    assert found["loss"] == pytest.approx((back - volumes).abs().mean().item() / 2, rel=1e-4)
    assert errors(module, plan, seen, Engine("cpu")) == found


def test_a_loss_that_is_not_finite_names_its_subject(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(recipe(), cohort, tmp_path)
    batch = Batch.of([own.training[0, 0], own.training[1, 0]])
    spoiled = batch.volume.clone()
    spoiled[1] = torch.inf
    before = {n: t.clone() for n, t in own.module.state_dict().items()}
    with pytest.raises(TrainingError, match=f"not finite for {batch.ids[1]};"):
        own.step(iter([replace(batch, volume=spoiled)]))
    assert not differ(before, own.module.state_dict())


def test_a_run_of_another_kind_is_refused(cohort: Cohort, whole: Path) -> None:
    with pytest.raises(RecipeError, match=r"AutoencoderRecipe.*now 'Recipe'"):
        train(build("tiny"), cohort, whole, device="cpu", show=False)


def test_an_autoencoder_learns_a_phantom_by_heart(cohort: Cohort, tmp_path: Path) -> None:
    plan = recipe(*ONLY_ERROR, "training.adversarial=0", "training.patch=none", "training.steps=60")
    plan = override(plan, 'autoencoder={"part": "WaveletFlowConfig", "widths": [16], "flow": 4}')
    own = trainer(plan, Cohort(cohort[:1]), tmp_path)
    batches = own.batches()
    losses = [own.step(batches)[0]["loss"] for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


def test_vae_tiny_returns_phantoms_better_than_their_mean_does(tmp_path: Path, cli) -> None:
    table = write_phantoms(tmp_path / "heads", 6, shape=(32, 40, 32))
    told = cli("train", "vae_tiny", f"data={table}", f"out={tmp_path / 'run'}", "steps=20")
    assert told.code == 0, told.err
    plan, module = load_autoencoder(tmp_path / "run")
    shown = Cohort.open(tmp_path / "run" / "cohort.csv")
    parts = {name: [s for s in shown if s.split == name] for name in ("train", "val")}
    seen = plan.dataset(Cohort(parts["train"]))
    mean = torch.stack([seen[index, 0].volume for index in range(len(seen))]).mean(0)
    volume = plan.dataset(Cohort(parts["val"]))[0, 0].volume
    with torch.no_grad():
        back = module.reconstruct(volume[None])[0]
    assert (back - volume).abs().mean() < 0.6 * (mean - volume).abs().mean()
    found = json.loads((tmp_path / "run" / "reconstruction.json").read_text())
    names = {score["name"] for score in found["scores"]["t1w"]}
    assert {"psnr", "ssim", "ms_ssim", "high_frequency_error"} < names
    assert "| t1w | 1 |" in told.out
