"""Texts of options become settings; what makes no sense is refused before any work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judging import labelled

from brainweave.data.cohort import Cohort
from brainweave.errors import BrainweaveError, EvaluationError, OutputError, RecipeError
from brainweave.evaluation.command import Request, run, write_priors
from brainweave.evaluation.priors import Priors


@pytest.fixture
def request_for(sides: Path, kept: Path, tmp_path: Path) -> Request:
    """Wavelets of phantoms, few draws."""
    paths = {name: sides / name for name in ("real", "made")}
    return Request(**paths, out=tmp_path / "out", features="wavelet", draws=4, cache=kept)


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"scale": "log"}, "--scale log: one of auto, shared, volume is needed"),
    ({"scheme": "aal"}, "--scheme aal: one of muse, freesurfer is needed"),
    ({"layout": "wfdm"}, "--layout wfdm: one of slides, medmetric, flowlet is needed"),
    ({"draws": 1}, "--draws 1: two or more are needed"),
    ({"seed": -1}, "--seed -1: 0 or more is needed"),
    ({"features": " , "}, "--features: none given"),
    ({"spacing": "2"}, "--spacing and --shape go together"),
    ({"shape": "80,96,80"}, "--spacing and --shape go together"),
    ({"spacing": "2,2", "shape": "80"}, "--spacing 2,2: one or three numbers above 0"),
    ({"spacing": "nan", "shape": "80"}, "--spacing nan: one or three numbers above 0"),
    ({"spacing": "0", "shape": "80"}, "--spacing 0: one or three numbers above 0"),
    ({"spacing": "2", "shape": "80.5"}, "--shape 80.5: whole numbers of voxels are needed"),
    ({"spacing": "two", "shape": "80"}, "--spacing two: one or three numbers above 0"),
    ({"weights": ["medicalnet"]}, "--weights medicalnet: NAME=PATH is needed"),
    ({"weights": ["medicalnet="]}, "--weights medicalnet=: NAME=PATH is needed"),
    ({"weights": ["medicalnet=a.pth"]}, "medicalnet is none of --features wavelet"),
    ({"weights": ["wavelet=a.pth"]}, "--weights wavelet=a.pth: a.pth is no file"),
    ({"bootstrap": "200"}, "--bootstrap 200: volumes x draws is needed, as 200x20"),
    ({"bootstrap": "200x1"}, "--bootstrap 200x1: volumes x draws is needed"),
    ({"recon": Path("recon")}, "--recon recon: goes with --layout slides"),
    ({"layout": "slides", "by": "sex"}, "--layout prints only a table: leave --by out"),
    (
        {"layout": "medmetric", "paired": True, "metrics": "kid"},
        "leave --metrics and --paired out",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[str(c) for c, _ in REFUSED])
def test_options_without_sense_are_refused_and_nothing_is_written(
    request_for: Request, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError) as error:
        run(replace(request_for, **changes))
    assert message in str(error.value)
    assert not request_for.out.exists()


def test_a_model_needs_what_trained_it(request_for: Request) -> None:
    with pytest.raises(RecipeError, match="give what trained it with --train"):
        run(request_for, losses=lambda cohort: np.zeros(len(cohort)))


def test_a_model_has_no_place_in_a_table(request_for: Request) -> None:
    asked = replace(request_for, layout="slides", train=request_for.real)
    with pytest.raises(RecipeError, match="leave --model out"):
        run(asked, losses=lambda cohort: np.zeros(len(cohort)))


def test_a_folder_made_for_nothing_is_taken_away(request_for: Request, tmp_path: Path) -> None:
    with pytest.raises(BrainweaveError, match="does not exist"):
        run(replace(request_for, real=tmp_path / "nowhere"))
    assert not request_for.out.exists()


def test_a_folder_that_was_there_stays(request_for: Request, tmp_path: Path) -> None:
    request_for.out.mkdir()
    with pytest.raises(BrainweaveError, match="does not exist"):
        run(replace(request_for, real=tmp_path / "nowhere"))
    assert request_for.out.is_dir()


def test_priors_that_are_not_there_are_named(request_for: Request) -> None:
    with pytest.raises(EvaluationError, match=r"--priors no\.safetensors: no such file"):
        run(replace(request_for, priors=Path("no.safetensors")))


def test_features_named_twice_are_computed_once(request_for: Request) -> None:
    asked = replace(request_for, features="wavelet, wavelet", layout="slides", bootstrap="6x2")
    assert run(asked).count("k = 5") == 1


def test_a_layout_is_said_and_kept(request_for: Request) -> None:
    said = run(replace(request_for, layout="medmetric"))
    path = request_for.out / "medmetric.md"
    assert said.endswith(str(path))
    assert path.read_text().strip() == said.removesuffix(str(path)).strip()


def test_a_table_may_lie_beside_another(request_for: Request) -> None:
    run(replace(request_for, layout="medmetric"))
    run(replace(request_for, layout="slides", bootstrap="6x2"))
    names = sorted(path.name for path in request_for.out.iterdir())
    assert names == ["medmetric.md", "slides.md"]


def test_other_grids_pass_where_all_are_resampled(request_for: Request, heads: Path) -> None:
    small = replace(request_for, made=heads.parent, layout="medmetric", cache=None)
    with pytest.raises(BrainweaveError, match="--spacing 2 --shape 80,96,80 resamples"):
        run(small)
    assert "| made |" in run(replace(small, spacing="8", shape="20,24,20"))


def test_scales_are_chosen(request_for: Request) -> None:
    table = {
        scale: run(replace(request_for, layout="medmetric", scale=scale))
        for scale in ("auto", "volume")
    }
    assert table["auto"] != table["volume"]


def test_a_function_of_ones_own_is_an_extractor(request_for: Request, tmp_path: Path) -> None:
    code = "import numpy as np\n\ndef moments(volume, spacing):\n    "
    code += "return [volume.mean(), volume.std(), np.median(volume)]\n"
    (tmp_path / "own.py").write_text(code)
    own = f"{tmp_path / 'own.py'}:moments"
    assert "own.py:moments (" in run(replace(request_for, features=own, layout="medmetric"))


def test_priors_are_written_and_read_back(sides: Path, tmp_path: Path) -> None:
    real = Cohort.open(sides / "real")
    labelled(real.subjects[:4], tmp_path / "maps")
    said = write_priors(tmp_path / "maps", tmp_path / "priors.safetensors")
    priors = Priors.load(tmp_path / "priors.safetensors")
    assert (
        said == f"{tmp_path / 'priors.safetensors'}: {len(priors.names)} regions from 4 label maps"
    )
    assert "left cortex" in priors.names


def test_priors_are_not_written_over(sides: Path, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("mine")
    with pytest.raises(OutputError, match="exists; --out needs a new file"):
        write_priors(sides / "real", tmp_path / "a.safetensors")


def test_priors_have_one_format(sides: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"priors are written as \.safetensors"):
        write_priors(sides / "real", tmp_path / "a.npz")


def test_priors_may_be_built_on_the_way(request_for: Request, sides: Path, tmp_path: Path) -> None:
    labelled(Cohort.open(sides / "real").subjects[:4], tmp_path / "maps")
    few = {n: Path(f"{sides / n / 'cohort.csv'}:sex=F") for n in ("real", "made")}
    asked = replace(request_for, **few, layout="flowlet", priors=tmp_path / "maps")
    assert "Dice" in run(asked)
