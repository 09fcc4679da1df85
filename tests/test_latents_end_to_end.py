"""From phantoms to volumes and completed cases in latents, by the command line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brainweave.data.cohort import Cohort
from brainweave.data.volume import Volume, read_grid
from brainweave.model_folder import AUTOENCODER, load_recipe

Cli = Callable[..., Any]
HALF = "training.validation=0.25"
SMALL = (
    HALF,
    "training.steps=2",
    "training.batch=2",
    "network.attention_levels=[]",
    "network.heads=2",
    "network.width=8",
    "network.multipliers=[1,2]",
    "network.groups=4",
    "network.condition_width=16",
    "sampling.steps=2",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the chapters below share, in order."""
    return tmp_path_factory.mktemp("home")


def heads(home: Path) -> Cohort:
    return Cohort.open(home / "heads")


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_1_train_an_autoencoder(cli: Cli) -> None:
    shape = ("--shape", "32,40,32", "--modalities", "t1w,t2w")
    assert cli("phantom", "heads", "--count", 4, *shape).code == 0
    ended = cli("train", "vae_tiny", "targets=t1w,t2w", "data=heads", "out=vae", "steps=3", HALF)
    assert ended.code == 0, ended.err


def test_2_a_doctor_looks_at_it(cli: Cli, home: Path) -> None:
    ended = cli("doctor", "vae", "heads", "--out", "report")
    assert ended.code == 0, ended.err
    assert "8 volumes; round trip" in ended.out
    assert (home / "report" / "doctor.png").is_file()
    facts = json.loads((home / "report" / "doctor.json").read_text())
    assert len(facts["channels"]) == 4


def test_3_encode(cli: Cli, home: Path) -> None:
    ended = cli("encode", "vae", "heads", "--out", "latents")
    assert ended.code == 0, ended.err
    assert len(list((home / "latents").glob("*.npy"))) == 8


def test_4_train_in_its_latents(cli: Cli, home: Path) -> None:
    where = ("data=heads", "out=run", "autoencoder=vae", "latents=latents", "modalities=t1w,t2w")
    ended = cli("train", "wfdm_plus_2mm", *where, *SMALL, "representation.noise_limit=1")
    assert ended.code == 0, ended.err
    assert not list((home / "run").glob("cache/*.npy"))  # those of `encode` were read
    assert load_file(home / "run" / AUTOENCODER).keys() == (
        load_file(home / "vae" / "weights.safetensors").keys()
    )
    space = load_recipe(home / "run").representation
    assert space.mean is not None


def test_4_whoever_validates_should_not_have_trained_the_autoencoder(cli: Cli, home: Path) -> None:
    words = ("train", "latent_flow_2mm", "autoencoder=vae", "representation.noise_limit=1", *SMALL)
    odd = next(row for row in Cohort.open(home / "vae" / "cohort.csv") if row.split == "train")
    rows = [replace(row, split="val" if row.id == odd.id else "train") for row in heads(home)]
    Cohort(rows).to_csv(home / "odd.csv")
    ended = cli(*words, "data=odd.csv", "out=odd")
    assert ended.code == 0, ended.err
    assert "1 of 1 who validate trained the autoencoder" in ended.err
    ended = cli(*words, "data=vae/cohort.csv", "out=even")
    assert ended.code == 0, ended.err
    assert "trained the autoencoder" not in ended.err


def test_5_generate_a_modality_of_somebody(cli: Cli, home: Path) -> None:
    ended = cli("generate", "run", "modality=t2w", "age=60", "sex=F", "--out", "made")
    assert ended.code == 0, ended.err
    (path,) = (home / "made").glob("*.nii.gz")
    template = next(iter(Cohort.open(home / "heads")[0].images.values()))
    assert read_grid(path) == read_grid(template)
    facts = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert facts["synthetic"] is True
    assert facts["conditions"]["modality"] == "t2w"


def test_5_a_bound_of_memory_changes_no_volume(cli: Cli, home: Path) -> None:
    words = ("generate", "run", "modality=t2w", "age=60", "sex=F", "--out", "bounded")
    ended = cli(*words, "--memory", "0.0005", "--dtype", "float32")
    assert ended.code != 0
    assert "memory is bounded to 1 MiB; raise the bound" in ended.err
    ended = cli(*words, "--memory", "0.003", "--dtype", "float32")
    assert ended.code == 0, ended.err
    ended = cli(*words[:-1], "unbounded", "--dtype", "float32")
    assert ended.code == 0, ended.err
    bounded, unbounded = (
        Volume.load(next((home / name).glob("*.nii.gz"))).data for name in ("bounded", "unbounded")
    )
    torch.testing.assert_close(bounded, unbounded, rtol=0, atol=2e-5)


def test_6_a_model_does_not_need_the_folder_that_it_was_trained_with(cli: Cli, home: Path) -> None:
    (home / "vae").rename(home / "elsewhere")
    ended = cli("generate", "run", "modality=t1w", "--out", "again")
    (home / "elsewhere").rename(home / "vae")
    assert ended.code == 0, ended.err


def test_7_complete_a_case_in_latents(cli: Cli, home: Path) -> None:
    where = ("data=heads", "out=filler", "autoencoder=vae", "modalities=t1w,t2w")
    ended = cli("train", "latent_complete_2mm", *where, *SMALL, "representation.noise_limit=1")
    assert ended.code == 0, ended.err
    source = Cohort.open(home / "heads")[0].images["t1w"]
    (home / "case.csv").write_text(f"id,t1w\nA,{source}\n")
    ended = cli("complete", "filler", "case.csv", "--out", "completed")
    assert ended.code == 0, ended.err
    made = home / "completed" / "A" / "A_t2w.nii.gz"
    assert read_grid(made) == read_grid(source)
    assert float(Volume.load(made).data.abs().max()) > 0


def test_8_what_does_not_belong_together_is_one_line(cli: Cli, home: Path) -> None:
    cli("train", "vae_tiny", "data=heads", "out=other", "steps=1", HALF)
    where = ("data=heads", "out=wrong", "autoencoder=other", "latents=latents")
    ended = cli("train", "latent_flow_2mm", *where, *SMALL)
    assert ended.code != 0
    assert "holds latents of another autoencoder" in ended.err
    ended = cli("train", "latent_flow_2mm", "data=heads", "out=wrong", *SMALL)
    assert "names no autoencoder; train one" in ended.err
    (home / "run" / AUTOENCODER).write_bytes((home / "other" / "weights.safetensors").read_bytes())
    ended = cli("generate", "run", "modality=t1w", "--out", "never")
    assert "is not the autoencoder that the model was trained with" in ended.err
    assert not (home / "wrong").exists()
