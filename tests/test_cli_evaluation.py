"""`evaluate` and `priors` from the command line: a report on phantoms, every option, bad input."""

import csv
import gzip
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainweave.data.cohort import Cohort, Subject
from brainweave.data.volume import Volume
from brainweave.evaluation.base import Score
from brainweave.evaluation.report import Report

Cli = Callable[..., Any]
LIGHT = ("--features", "wavelet", "--metrics", "frechet,kid", "--draws", "4")


@pytest.fixture(scope="module")
def done(
    cli: Cli, sides: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A whole report, and how the command ended."""
    out = tmp_path_factory.mktemp("done") / "report"
    real, made, train = (sides / name for name in ("real", "made", "train"))
    words = ("--features", "wavelet,pca,random-cnn,regions", "--by", "sex,age_bin", "--draws", "6")
    places = (real, made, "--train", train, "--out", out, "--cache", kept)
    return out, cli("evaluate", *places, *words)


# A report


def test_the_command_says_the_answers_and_where_the_page_is(done: tuple[Path, Any]) -> None:
    out, ended = done
    assert ended.code == 0
    assert "Are they like real ones? " in ended.out
    assert ended.out.splitlines()[-1] == str(out / "report.html")


def test_real_against_real_is_not_called_different(done: tuple[Path, Any]) -> None:
    assert re.search(r"like real ones\? (No difference found|Nearly)", done[1].out)


def test_no_comparison_of_features_is_far_from_its_null(done: tuple[Path, Any]) -> None:
    spaces = ("wavelet/", "pca/", "random-cnn/", "regions/")
    scores = [s for s in Report.load_scores(done[0]) if s.name.startswith(spaces)]
    whole = [score for score in scores if "[" not in score.name]
    assert {score.name.split("/")[0] + "/" for score in whole} == set(spaces)
    assert max(abs(score.z or 0) for score in whole) < 3


def test_the_page_loads_nothing_from_elsewhere(done: tuple[Path, Any]) -> None:
    page = (done[0] / "report.html").read_text()
    loaded = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)([^"')\s>]+)""", page)
    assert loaded == []
    assert "@import" not in page


def test_scores_are_lists_of_scores_in_both_files(done: tuple[Path, Any]) -> None:
    entries = json.loads((done[0] / "scores.json").read_text())
    names = [field.name for field in fields(Score)]
    assert all(list(entry) == names for entry in entries)
    with (done[0] / "scores.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [e["name"] for e in entries]


def test_every_number_is_finite_or_absent(done: tuple[Path, Any]) -> None:
    entries = json.loads((done[0] / "scores.json").read_text())
    values = [v for entry in entries for v in entry.values() if isinstance(v, float)]
    assert values
    assert all(map(math.isfinite, values))


def test_strata_are_in_the_scores_and_small_ones_are_said(done: tuple[Path, Any]) -> None:
    names = {score.name for score in Report.load_scores(done[0])}
    assert {"wavelet/frechet [sex=F]", "wavelet/frechet [sex=M]"} <= names
    assert "By age_bin, fewer than 20 a side were not compared: 20-29 (" in done[1].out


def test_a_second_run_describes_nothing_and_says_the_same(
    done: tuple[Path, Any], cli: Cli, sides: Path, kept: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()}
    words = ("--features", "wavelet,pca,random-cnn,regions", "--by", "sex,age_bin", "--draws", "6")
    places = (sides / "real", sides / "made", "--train", sides / "train")
    again = cli("evaluate", *places, "--out", tmp_path / "again", "--cache", kept, *words)
    assert again.code == 0
    first = (done[0] / "scores.json").read_bytes()
    assert (tmp_path / "again" / "scores.json").read_bytes() == first
    assert {p: p.stat().st_mtime_ns for p in kept.rglob("*") if p.is_file()} == before


# Options


def test_pairs_and_modalities_are_compared(cli: Cli, tmp_path: Path) -> None:
    words = ("--shape", "32,40,32", "--modalities", "t1w,t2w,seg", "--count", "6")
    for seed, name in enumerate(("real", "made")):
        assert cli("phantom", tmp_path / name, "--seed", seed, *words).code == 0
    ended = cli(
        *("evaluate", tmp_path / "real", tmp_path / "made", "--paired", "--modality", "T2"),
        *("--out", tmp_path / "out", *LIGHT),
    )
    assert ended.code == 0, ended.err
    names = {score.name for score in Report.load_scores(tmp_path / "out")}
    assert {"psnr", "brasyn/ssim [tumour]", "dice WT"} <= names
    assert "t2w" in (tmp_path / "out" / "report.html").read_text()


def test_the_slides_table_with_reconstructions(
    cli: Cli, sides: Path, kept: Path, tmp_path: Path
) -> None:
    places = ("evaluate", sides / "real", sides / "made", "--recon", sides / "real")
    words = ("--layout", "slides", "--bootstrap", "10x5", "--features", "wavelet")
    ended = cli(*places, "--out", tmp_path, "--cache", kept, *words)
    assert ended.code == 0, ended.err
    assert re.search(r"real-recon \| 10 \| \S+e-\d\d ± ", ended.out)  # nothing but rounding
    assert (tmp_path / "slides.md").read_text() in ended.out


# Bad input


def heads(sides: Path, name: str, count: int = 8) -> list[Subject]:
    return list(Cohort.open(sides / name))[:count]


@pytest.fixture
def place(sides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with eight real and eight made heads, files of its own."""
    for name in ("real", "made"):
        (tmp_path / name).mkdir()
        rows = []
        for subject in heads(sides, name):
            path = tmp_path / name / f"{subject.id}_T1w.nii.gz"
            shutil.copy(subject.images["t1w"], path)
            rows.append(replace(subject, images={"t1w": path}))
        Cohort(rows).to_csv(tmp_path / name / "cohort.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scan(place: Path) -> Path:
    return place / "made" / "made-03_T1w.nii.gz"


def poison(place: Path) -> None:
    """NaN, which our own writer refuses."""
    volume = Volume.load(scan(place))
    volume.save(scan(place), dtype="float32")
    content = bytearray(gzip.decompress(scan(place).read_bytes()))
    content[-4:] = np.float32(np.nan).tobytes()
    scan(place).write_bytes(gzip.compress(content))


def flatten(place: Path) -> None:
    volume = Volume.load(scan(place))
    Volume(torch.full_like(volume.data, 7.0), volume.affine).save(scan(place))


def crop(place: Path) -> None:
    volume = Volume.load(scan(place))
    Volume(volume.data[1:].contiguous(), volume.affine).save(scan(place))


def empty(place: Path) -> None:
    shutil.rmtree(place / "made")
    (place / "made").mkdir()


def alone(place: Path) -> None:
    Cohort(list(Cohort.open(place / "made"))[:1]).to_csv(place / "made" / "cohort.csv")


def double(place: Path) -> None:
    table = place / "made" / "cohort.csv"
    table.write_text(table.read_text().replace("made-02,", "made-01,"))


def occupy(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "thesis.doc").write_text("mine")


def nothing(_: Path) -> None:
    """All is well with the volumes."""


BAD: list[tuple[str, str, Callable[[Path], None], str]] = [
    ("empty folder", "", empty, "no .nii or .nii.gz file below this folder"),
    ("one volume", "", alone, "8 real persons and 1 made volumes: 4 real and 2 made"),
    ("different grids", "", crop, "--spacing 2 --shape 80,96,80 resamples all"),
    ("NaN in a volume", "", poison, "made, subject 'made-03'"),
    ("constant volume", "", flatten, "made, subject 'made-03'"),
    ("duplicate ids", "", double, "id 'made-01' is used 2 times"),
    ("no such folder", "--train nowhere", nothing, "nowhere does not exist"),
    ("foreign files in out", "", occupy, "out holds thesis.doc, which no report wrote"),
    ("unknown metric", "--metrics fid", nothing, "no metric 'fid'; there are frechet"),
    ("unknown features", "--features wavelets", nothing, "no features are called 'wavelets'"),
    ("unknown function", "--features no.such:thing", nothing, "'no.such' cannot be imported"),
    ("unknown layout", "--layout wfdm", nothing, "--layout wfdm: one of slides"),
    ("unknown scheme", "--scheme aal", nothing, "--scheme aal: one of muse, freesurfer"),
    ("unknown scale", "--scale log", nothing, "--scale log: one of auto, shared, volume"),
    ("unknown modality", "--modality flair", nothing, "8 of 8 subjects"),
    ("malformed weights", "--weights resnet.pth", nothing, "NAME=PATH is needed"),
    ("negative seed", "--seed -1", nothing, "--seed -1: 0 or more is needed"),
    ("no label maps", "--priors real", nothing, "no scan has an image 'labels'"),
    ("no priors", "--priors a.safetensors", nothing, "a.safetensors: no such file"),
    ("model without train", "--model model", nothing, "model is no model folder"),
    ("unpaired ids", "--paired", nothing, "made lacks 'real-01', 'real-02'"),
    ("reconstructions of nothing", "--recon made", nothing, "goes with --layout slides"),
]


@pytest.mark.parametrize(("name", "words", "change", "message"), BAD, ids=[bad[0] for bad in BAD])
def test_bad_input_is_one_line_a_code_and_no_report(
    place: Path, cli: Cli, name: str, words: str, change: Callable[[Path], None], message: str
) -> None:
    change(place)
    before = sorted(str(path) for path in place.rglob("*"))
    features = () if "--features" in words else ("--features", "wavelet")
    ended = cli("evaluate", "real", "made", "--out", "out", *words.split(), *features)
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert ended.err.splitlines()[-1:] == lines, ended.err
    assert message in lines[0]
    assert "a bug" not in lines[0]
    assert ended.code in range(1, 100)
    assert sorted(str(path) for path in place.rglob("*")) == before


def test_a_model_needs_the_volumes_that_trained_it(place: Path, cli: Cli, model: Path) -> None:
    ended = cli("evaluate", "real", "made", "--out", "out", "--model", model)
    assert ended.code == 2
    assert ended.err == "error: --model: give what trained it with --train too\n"


def test_a_seed_changes_what_is_drawn_and_nothing_else(place: Path, cli: Cli) -> None:
    for seed in (0, 1):
        cli("evaluate", "real", "made", "--seed", seed, "--out", f"out{seed}", *LIGHT)
    a, b = ({s.name: s.value for s in Report.load_scores(place / f"out{seed}")} for seed in (0, 1))
    assert a["ms_ssim diversity"] == pytest.approx(b["ms_ssim diversity"], abs=1e-12)  # all pairs
    assert a["wavelet/kid"] != b["wavelet/kid"]


def test_a_model_brings_membership(
    cli: Cli, sides: Path, kept: Path, model: Path, tmp_path: Path
) -> None:
    real, made, train = (
        f"{sides / name / 'cohort.csv'}:sex=F" for name in ("real", "made", "train")
    )
    words = ("--train", train, "--model", model, "--out", tmp_path / "out", "--cache", kept)
    ended = cli("evaluate", real, made, *words, *LIGHT)
    assert ended.code == 0, ended.err
    assert "The model's loss tells training volumes from others with an area of" in ended.out
    assert any("member" in score.name for score in Report.load_scores(tmp_path / "out"))


def test_a_report_is_replaced_and_that_is_said(place: Path, cli: Cli) -> None:
    words = ("evaluate", "real", "made", "--out", "out", "--layout", "medmetric")
    first, second = (cli(*words, "--features", "wavelet") for _ in range(2))
    assert "which will be replaced" not in first.err
    assert any((place / "out" / ".features").iterdir())  # where features stay if nothing is said
    assert "out holds a report, which will be replaced" in second.err
    assert first.out == second.out


def test_volumes_without_a_brain_are_judged_and_said(place: Path, cli: Cli) -> None:
    random = np.random.default_rng(0)
    for path in (place / "made").glob("*.nii.gz"):
        volume = Volume.load(path)
        noise = torch.from_numpy(1000 * random.random(volume.data.shape, dtype=np.float32))
        Volume(noise, volume.affine).save(path)
    ended = cli("evaluate", "real", "made", "--out", "out", *LIGHT)
    assert ended.code == 0
    assert "8 made volumes look like no brain of this space" in ended.out
    assert "Do not rely on it" in ended.out


def test_volumes_without_ages_are_judged_and_said(place: Path, cli: Cli) -> None:
    bare = [replace(s, covariates={}) for s in Cohort.open(place / "made")]
    Cohort(bare).to_csv(place / "made" / "cohort.csv")
    ended = cli("evaluate", "real", "made", "--out", "out", *LIGHT, "--by", "hospital")
    assert ended.code == 0
    assert "8 of 8 made volumes have no age." in ended.out
    assert "Nothing was compared by hospital: no scan has it." in ended.out


def test_priors_need_label_maps(place: Path, cli: Cli) -> None:
    ended = cli("priors", "real", "--out", "priors.safetensors")
    assert ended.code == 3
    assert ended.err.startswith("error: ")
    assert "no scan has an image 'labels'" in ended.err
    assert not (place / "priors.safetensors").exists()


def test_priors_of_an_unknown_scheme_are_refused(place: Path, cli: Cli) -> None:
    ended = cli("priors", "real", "--out", "priors.safetensors", "--scheme", "aal")
    assert ended.code == 3
    assert "no labelling 'aal'" in ended.err
