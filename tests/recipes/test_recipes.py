"""Recipes by name, from files, with assignments."""

import json

import pytest
import yaml

from brainweave.errors import RecipeError
from brainweave.part import from_dict, to_dict
from brainweave.processes.paths import VariancePreserving
from brainweave.recipe import Recipe
from brainweave.recipes import RECIPES, build

every = pytest.mark.parametrize("name", sorted(RECIPES))


@every
def test_a_recipe_is_called_what_it_is_listed_as(name):
    assert build(name).name == name


@every
def test_a_recipe_travels_through_json(name):
    recipe = build(name)
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


@every
def test_a_recipe_says_where_it_is_from(name):
    assert build(name).source


@every
def test_a_recipes_function_says_what_it_is_in_one_line(name):
    summary = (RECIPES[name].__doc__ or "").splitlines()[0]
    assert 20 < len(summary) < 100
    assert summary.endswith(".")


# Assignments


def test_an_assignment_to_a_parameter_goes_to_the_function():
    recipe = build("flowlet", ["path=vp_diffusion"])
    assert recipe.process.path == VariancePreserving()
    assert recipe.process.times == "stratified"


def test_a_parameter_takes_a_list():
    recipe = build("t1_2mm", ['sites=["a", "b", "c"]'])
    assert recipe.condition("site").values == ("a", "b", "c")


def test_a_parameter_takes_a_number():
    assert build("tiny", ["steps=7"]).training.steps == 7


def test_a_dotted_assignment_replaces_a_field():
    assert build("flowlet", ["training.lr=1e-4"]).training.lr == 1e-4


def test_an_undotted_assignment_replaces_a_field_of_the_recipe():
    recipe = build("flowlet", ["target=t2w", "licence=CC0-1.0", "name=mine"])
    assert (recipe.target, recipe.licence, recipe.name) == ("t2w", "CC0-1.0", "mine")


def test_a_later_assignment_wins():
    assert build("tiny", ["training.batch=2", "training.batch=3"]).training.batch == 3


def test_parameters_come_before_fields_whatever_the_order():
    recipe = build("tiny", ["training.batch=2", "steps=9"])
    assert (recipe.training.batch, recipe.training.steps) == (2, 9)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.lrr=1", "did you mean 'lr'"),
        ("trainig.lr=1", "did you mean 'training'"),
        ("steps", "no assignment"),
        ("steps=many", "steps=many"),
        ("training.batch=0", "batch"),
        ("preprocess.shape=[30, 40, 32]", "multiple of 8"),
    ],
)
def test_an_assignment_that_makes_no_sense_is_refused(assignment, message):
    with pytest.raises(RecipeError, match=message):
        build("tiny", [assignment])


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'flowlet_base'"):
        build("flowlet_bse")


# Files

MINE = """
from brainweave.recipe import Recipe
from brainweave.recipes.tiny import tiny

def helper(x):
    return x

def own(batch: int = 2) -> Recipe:
    recipe = tiny()
    return recipe.replace(name="own", training=recipe.training.replace(batch=batch))
"""


def python(tmp_path, text: str, name: str = "method.py") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_python_file_with_one_function_that_makes_a_recipe_is_one(tmp_path):
    assert build(python(tmp_path, MINE)).name == "own"


def test_its_parameters_take_assignments(tmp_path):
    assert build(python(tmp_path, MINE), ["batch=5"]).training.batch == 5


def test_a_function_of_the_files_name_needs_no_annotation(tmp_path):
    text = MINE.replace(" -> Recipe", "") + "\ndef other() -> Recipe:\n    return tiny()\n"
    assert build(python(tmp_path, text, name="own.py")).name == "own"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "not none"),
        (MINE + "\ndef two() -> Recipe:\n    return tiny()\n", "not own, two"),
        (MINE.replace("batch: int = 2", "batch: int"), "missing a required argument: 'batch'"),
        ("def method():\n    return 1", "returned int"),
        ("def broken(:", "SyntaxError"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_a_python_file_that_makes_no_recipe_is_refused(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        build(python(tmp_path, text))


@pytest.mark.parametrize(
    ("suffix", "write"),
    [(".json", json.dumps), (".yaml", yaml.safe_dump), (".yml", yaml.safe_dump)],
)
def test_a_recipe_written_as_data_is_read_again(tmp_path, suffix, write):
    path = tmp_path / f"recipe{suffix}"
    path.write_text(write(to_dict(build("t1_2mm"))))
    assert build(str(path)) == build("t1_2mm")


def test_a_recipe_read_from_data_takes_assignments(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(to_dict(build("tiny"))))
    assert build(str(path), ["training.batch=3"]).training.batch == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not JSON"),
        ("a.yaml", "a: [", "not YAML"),
        ("a.json", "[1]", "holds no recipe"),
        ("a.json", '{"part": "Haar"}', "holds no recipe"),
        ("a.json", '{"part": "Recipee"}', "did you mean 'Recipe'"),
        ("a.json", None, "cannot be read"),
        ("a.py", None, "does not exist"),
    ],
)
def test_a_file_that_holds_no_recipe_is_refused_in_one_line(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        build(str(tmp_path / name))
    assert "\n" not in str(caught.value)


# What the pages say


def test_flowlet_is_what_was_released():
    recipe = build("flowlet")
    assert recipe.preprocess.shape == (112, 112, 112)
    assert recipe.process.channel_weights == (0.5, *[0.5 / 7] * 7)
    assert (recipe.training.lr, recipe.training.lr_end, recipe.sampling.steps) == (3e-6, 1e-7, 100)


def test_flowlet_plus_holds_the_2_mm_template():
    shape = build("flowlet_plus").preprocess.shape
    assert all(edge >= source for edge, source in zip(shape, (91, 109, 91), strict=True))


def test_tiny_fits_the_phantoms_it_is_for():
    recipe = build("tiny")
    assert isinstance(recipe, Recipe)
    extent = [e * s for e, s in zip(recipe.preprocess.shape, (5.0, 5.0, 5.0), strict=True)]
    assert all(mm >= head for mm, head in zip(extent, (160, 192, 160), strict=True))


def test_flowlet_base_has_the_batch_of_the_command_line():
    assert build("flowlet_base").training.batch == 16


@pytest.mark.parametrize("name", ["complete", "complete_2mm", "complete_tiny"])
def test_the_regression_of_completion_takes_a_perceptron(name: str) -> None:
    images = build(name, ["hidden=8"]).images
    assert images is not None
    assert images.regression is not None
    assert images.regression.hidden == 8


def test_assignments_that_need_each_other_may_stand_in_any_order() -> None:
    words = ["atlas=none", "process.begin=0", "sampling.grids=[]"]
    found = build("t1_2mm", words)
    assert isinstance(found, Recipe)
    assert (found.atlas, found.process.begin, found.sampling.grids) == (None, 0, ())
    assert build("t1_2mm", words[::-1]) == found
    with pytest.raises(RecipeError, match="begin at 0, or give it atlas"):
        build("t1_2mm", ["training.steps=5", *words[:1]])
