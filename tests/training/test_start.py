"""Training that begins from another model's weights."""

from pathlib import Path

import pytest
import tiny
import torch

from brainweave.data.cohort import Cohort
from brainweave.errors import CheckpointError, RecipeError
from brainweave.generator import Generator
from brainweave.model_folder import load_recipe
from brainweave.training.run import train

STILL = ("training.lr=1e-12", "training.lr_end=0", "training.steps=2")  # steps that change nothing


def test_training_begins_from_the_weights_of_a_model(
    cohort: Cohort, whole: Path, tmp_path: Path
) -> None:
    recipe = tiny.recipe(*STILL)
    train(recipe, cohort, tmp_path / "on", start=whole, device="cpu", show=False)
    train(recipe, cohort, tmp_path / "new", device="cpu", show=False)
    before, on, new = (Generator.load(f) for f in (whole, tmp_path / "on", tmp_path / "new"))
    for (name, p), q, r in zip(
        before.named_parameters(), on.parameters(), new.parameters(), strict=True
    ):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6, msg=name)
        assert p.dim() == 1 or not torch.equal(p, r)
    assert load_recipe(tmp_path / "on").training.start == tiny.digest(whole)
    assert load_recipe(tmp_path / "new").training.start is None


def test_where_a_run_began_belongs_to_it(cohort: Cohort, whole: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe(*STILL)
    train(recipe, cohort, tmp_path / "on", start=whole, device="cpu", show=False)
    digest = tiny.digest(tmp_path / "on")
    train(recipe, cohort, tmp_path / "on", start=whole, device="cpu", show=False)
    assert tiny.digest(tmp_path / "on") == digest
    with pytest.raises(RecipeError, match=r"training\.start was '[0-9a-f]{64}', now None"):
        train(recipe, cohort, tmp_path / "on", device="cpu", show=False)


def test_a_start_of_another_network_is_refused(cohort: Cohort, whole: Path, tmp_path: Path) -> None:
    recipe = tiny.recipe("network.width=16")
    with pytest.raises(CheckpointError, match="has other weights than tiny needs, such as"):
        train(recipe, cohort, tmp_path / "wide", start=whole, device="cpu", show=False)
    assert not (tmp_path / "wide").exists()
    with pytest.raises(CheckpointError, match=r"recipe\.json"):
        train(recipe, cohort, tmp_path / "none", start=tmp_path, device="cpu", show=False)
