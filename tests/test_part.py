"""Parts: to JSON and back, overrides, and errors of one line."""

import importlib
import json
import pkgutil
from inspect import isabstract
from typing import Any

import pytest

import brainweave
from brainweave.compression import AutoencoderTraining
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles, ZScore
from brainweave.data.preprocess import Preprocess
from brainweave.errors import RecipeError
from brainweave.networks import UNetConfig
from brainweave.part import Part, difference, from_dict, override, to_dict
from brainweave.processes.paths import DDPM, Rectified
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations import Haar, Voxel
from brainweave.representations.autoencoders.wavelet_flow import WaveletFlowConfig

for _module in pkgutil.walk_packages(brainweave.__path__, "brainweave."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)

EYE = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
NEEDED: dict[str, dict[str, Any]] = {
    "Grid": {"shape": (2, 3, 4), "affine": EYE},
    "Fixed": {"source_low": 0, "source_high": 255},
    "Preprocess": {"shape": (16, 16, 16)},
    "Scalar": {"name": "age", "low": 20, "high": 80},
    "Category": {"name": "sex", "values": ("F", "M")},
    "Continuous": {"name": "age", "low": 20, "high": 80},
    "Ordinal": {"name": "grade", "values": ("a", "b")},
    "Choice": {"name": "site", "values": ("a", "b")},
    "SetOf": {"name": "diagnoses", "values": ("a", "b")},
    "Binary": {"name": "tumour"},
    "Column": {"name": "age", "kind": "ignored"},
    "Images": {"modalities": ("t1w",)},
    "Mask": {"labels": (1,)},
    "Latent": {"autoencoder": WaveletFlowConfig()},
    "Fitting": {"steps": 1},
    "Training": {"steps": 1},
    "Features": {"weights": "resnet_10.pth"},
    "AutoencoderTraining": {"steps": 1},
    "AutoencoderRecipe": {
        "name": "toy",
        "preprocess": Preprocess(shape=(16, 16, 16)),
        "autoencoder": WaveletFlowConfig(),
        "training": AutoencoderTraining(steps=1),
    },
    "Recipe": {
        "name": "toy",
        "preprocess": Preprocess(shape=(16, 16, 16)),
        "representation": Haar(),
        "process": Process(),
        "network": UNetConfig(time_scale=1),
        "training": Training(steps=1),
    },
}
PARTS = [
    part
    for part in Part.registry.values()
    if part.__module__.startswith("brainweave.") and not isabstract(part)
]


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(**NEEDED["Recipe"])


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_part_survives_json(part: type[Part]) -> None:
    value = part(**NEEDED.get(part.__name__, {}))
    assert from_dict(json.loads(json.dumps(to_dict(value)))) == value


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_part_refuses_a_field_it_does_not_have(part: type[Part]) -> None:
    with pytest.raises(RecipeError, match="no field 'nonsense'"):
        part(**NEEDED.get(part.__name__, {}), nonsense=1)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_part_is_frozen(part: type[Part]) -> None:
    value = part(**NEEDED.get(part.__name__, {}))
    for field in value.fields():
        with pytest.raises(ValueError, match="frozen"):
            setattr(value, field, None)


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("training.lr=1e-4", "training.lr", 1e-4),
        ("training.lr=.5", "training.lr", 0.5),
        ("training.betas=[0.8, 0.99]", "training.betas", (0.8, 0.99)),
        ("training.grad_clip=none", "training.grad_clip", None),
        ("training.compile=True", "training.compile", True),
        ("preprocess.shape=[32,40,32]", "preprocess.shape", (32, 40, 32)),
        ("preprocess.intensity=ZScore", "preprocess.intensity", ZScore()),
        ("preprocess.intensity.upper=99", "preprocess.intensity", Percentiles(upper=99)),
        ("process.path=ddpm", "process.path", DDPM()),
        ("process.path=DDPM", "process.path", DDPM()),
        ("training.augment=Augment", "training.augment", Augment()),
        ('representation={"part": "Haar", "levels": 2}', "representation", Haar(levels=2)),
        ("name=a=b", "name", "a=b"),
        ("conditions=[]", "conditions", ()),
    ],
)
def test_override_reads_what_a_user_writes(
    recipe: Recipe, assignment: str, field: str, value: object
) -> None:
    changed: Any = override(recipe, assignment)
    for name in field.split("."):
        changed = getattr(changed, name)
    assert changed == value


def test_override_changes_nothing_else(recipe: Recipe) -> None:
    changed = override(recipe, "training.lr=0.5")
    assert difference(recipe, changed) == [("training.lr", recipe.training.lr, 0.5)]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("trainig.lr=1", "Recipe has no field 'trainig'; did you mean 'training'"),
        ("training.warmups=1", "Training has no field 'warmups'; did you mean 'warmup'"),
        ("training.lr=-1", "Training: lr: .* greater than 0 .got -1"),
        ("training.lr=nan", "Training: lr: .*finite"),
        ("training.lr=fast", "Training: lr: .*number"),
        ("training.lr", "no assignment; write field=value"),
        ("name.first=x", "Recipe.name is 'toy': it has no field 'first'"),
        ("process.path=ProbabilityPath", "unknown path 'ProbabilityPath'"),
        ("representation=Representation", "Recipe: representation"),
        ('representation={"part": "Har"}', "unknown part 'Har'; did you mean 'Haar'"),
        ('representation={"part": ["Haar"]}', "unknown part"),
        ('representation={"part": "Representation"}', "unknown part 'Representation'"),
        ("process.path=recitfied", "unknown path 'recitfied'; did you mean 'rectified'"),
        ("target=../t1w", "Recipe: target"),
        ("preprocess.shape=[15,16,16]", "multiple of 8 in every edge"),
    ],
)
def test_a_wrong_override_is_one_clear_line(recipe: Recipe, assignment: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        override(recipe, assignment)
    assert "\n" not in str(caught.value)


def test_several_wrong_fields_are_told_at_once() -> None:
    with pytest.raises(RecipeError, match=r"batch: .*; lr: "):
        Training(steps=1, lr=-1, batch=0)


def test_replace_validates() -> None:
    with pytest.raises(RecipeError, match="Training: batch"):
        Training(steps=1).replace(batch=0)


def test_equal_parts_differ_nowhere(recipe: Recipe) -> None:
    assert difference(recipe, from_dict(to_dict(recipe))) == []


def test_parts_of_different_kinds_differ_as_a_whole() -> None:
    assert difference(Process(), Process(path=DDPM())) == [("path", Rectified(), DDPM())]


def test_loading_imports_nothing() -> None:
    with pytest.raises(RecipeError, match=r"unknown part 'os\.system'"):
        from_dict({"part": "os.system", "command": "true"})


def test_a_nested_part_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match="Process: path"):
        Process(path=Voxel())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"process": Process(path=DDPM()), "network": UNetConfig()}, "set network.time_scale=1"),
        ({"training": Training(steps=1, band_power=0.5)}, "needs a whitened representation"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    recipe: Recipe, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.replace(**change)


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_interval": (0.5, 0.5)},
        {"guidance_interval": (-0.1, 0.5)},
        {"guidance_interval": (0.5, 1.1)},
        {"eta": 0.5},
        {"variance": "small"},
        {"sampler": "ancestral", "eta": 0.5},
        {"shift": 0},
    ],
    ids=str,
)
def test_impossible_sampling_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"Sampling: .*(interval|eta|variance|shift)"):
        Sampling(**options)


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9)])
def test_impossible_betas_are_refused(betas: tuple[float, float]) -> None:
    with pytest.raises(RecipeError, match="Training: betas"):
        Training(steps=1, betas=betas)


def test_a_part_does_not_take_the_name_of_another() -> None:
    before = Part.registry["Haar"]
    with pytest.raises(RecipeError, match=r"there is a part Haar in brainweave\.repr"):
        type("Haar", (Part,), {"__module__": "mine"})
    assert Part.registry["Haar"] is before


def test_a_part_may_be_defined_again_as_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "registry", dict(Part.registry))
    _, again = (type("Mine", (Part,), {"__module__": "__main__"}) for _ in range(2))
    assert type(from_dict({"part": "Mine"})) is again


def test_an_unknown_part_says_how_it_becomes_known() -> None:
    with pytest.raises(RecipeError, match="known once the file that defines it is imported"):
        from_dict({"part": "Mine"})
