"""From a name or a file, and assignments, to a recipe: what the command line says."""

import importlib.util
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from brainweave.errors import RecipeError
from brainweave.model_folder import Plan
from brainweave.part import Part, from_dict, hint, override, parse
from brainweave.recipes.autoencoders import kl_2mm, maisi_vae, vae_tiny, wfvae, wfvae_2mm
from brainweave.recipes.complete import bridge, complete, complete_2mm, complete_tiny
from brainweave.recipes.cwdm import cwdm, fast_cwdm, wdm
from brainweave.recipes.flowlet import flowlet, flowlet_base
from brainweave.recipes.flowlet_plus import flowlet_plus
from brainweave.recipes.latent import (
    latent_complete,
    latent_complete_2mm,
    latent_flow,
    latent_flow_2mm,
    maisi,
    maisi_2mm,
    wfdm,
    wfdm_2mm,
    wfdm_plus,
    wfdm_plus_2mm,
)
from brainweave.recipes.t1_2mm import t1_2mm
from brainweave.recipes.tiny import tiny

Maker = Callable[..., Plan]

RECIPES: dict[str, Maker] = {
    "bridge": bridge,
    "complete": complete,
    "complete_2mm": complete_2mm,
    "complete_tiny": complete_tiny,
    "cwdm": cwdm,
    "fast_cwdm": fast_cwdm,
    "flowlet": flowlet,
    "flowlet_base": flowlet_base,
    "flowlet_plus": flowlet_plus,
    "kl_2mm": kl_2mm,
    "latent_complete": latent_complete,
    "latent_complete_2mm": latent_complete_2mm,
    "latent_flow": latent_flow,
    "latent_flow_2mm": latent_flow_2mm,
    "maisi": maisi,
    "maisi_2mm": maisi_2mm,
    "maisi_vae": maisi_vae,
    "t1_2mm": t1_2mm,
    "tiny": tiny,
    "vae_tiny": vae_tiny,
    "wdm": wdm,
    "wfdm": wfdm,
    "wfdm_2mm": wfdm_2mm,
    "wfdm_plus": wfdm_plus,
    "wfdm_plus_2mm": wfdm_plus_2mm,
    "wfvae": wfvae,
    "wfvae_2mm": wfvae_2mm,
}


def build(name: str, assignments: Sequence[str] = ()) -> Plan:
    """The recipe of that name or in that file, with assignments made from left to right, those
    that are only right after a later one after that.

    name: one of `RECIPES`; a .py file, which is run, with one function that returns a Recipe (or
    one of the file's name); a .json or .yaml file of a recipe.
    assignments: "path=vp" gives a parameter of the function, "training.lr=1e-4" or "target=t2w"
    replaces a field. Raises RecipeError for what is unknown, with the nearest that is known.
    """
    path = Path(name)
    if name in RECIPES:
        maker: Maker | None = RECIPES[name]
    elif path.suffix == ".py":
        maker = _maker(path)
    elif path.suffix in (".json", ".yaml", ".yml"):
        maker = None
    else:
        files = "or the path of a .py, .json or .yaml file"
        raise RecipeError(f"unknown recipe {name!r}{hint(name, RECIPES)}, {files}")
    parameters = {} if maker is None else _parameters(maker)
    given = [a for a in assignments if a.partition("=")[0] in parameters and "=" in a]
    recipe = _read(path) if maker is None else _make(name, maker, parameters, given)
    return _assigned(recipe, [a for a in assignments if a not in given])


def _assigned(recipe: Plan, assignments: Sequence[str]) -> Plan:
    """With what can be assigned now, then the rest; raises the first error where nothing can."""
    if not assignments:
        return recipe
    errors: dict[str, RecipeError] = {}
    for assignment in assignments:
        try:
            recipe = override(recipe, assignment)
        except RecipeError as error:
            errors[assignment] = error
    if len(errors) == len(assignments):
        raise errors[assignments[0]]
    return _assigned(recipe, list(errors))


def _make(
    name: str, maker: Maker, parameters: Mapping[str, Any], assignments: Sequence[str]
) -> Plan:
    """The function's recipe with its parameters as assigned."""
    values = {}
    for assignment in assignments:
        parameter, _, text = assignment.partition("=")
        values[parameter] = _value(parameter, text, parameters[parameter])
    try:
        inspect.signature(maker).bind(**values)
    except TypeError as error:
        raise RecipeError(f"recipe {name}: {error}; give it as PARAMETER=VALUE") from None
    recipe = maker(**values)
    if not isinstance(recipe, Plan):
        raise RecipeError(f"recipe {name}: {maker.__name__} returned {type(recipe).__name__}")
    return recipe


def _value(name: str, text: str, wanted: Any) -> Any:
    """The text as a value of the type that a parameter is annotated with."""
    if wanted is str:
        return text
    is_part = isinstance(wanted, type) and issubclass(wanted, Part)
    config = None if is_part else ConfigDict(arbitrary_types_allowed=True)
    try:
        value = parse(text)
        listed = get_origin(wanted) is tuple and isinstance(value, str)  # as t1w,t2w
        return TypeAdapter(wanted, config=config).validate_python(
            value.split(",") if listed else value
        )
    except ValidationError as error:
        raise RecipeError(f"{name}={text}: {error.errors()[0]['msg']}") from None


def _parameters(maker: Maker) -> dict[str, Any]:
    """The annotations of a function's parameters by name."""
    hints = get_type_hints(maker)
    return {name: hints.get(name, Any) for name in inspect.signature(maker).parameters}


def _maker(path: Path) -> Maker:
    """The function of a .py file that makes a recipe."""
    if not path.is_file():
        raise RecipeError(f"{path} does not exist; a .py file with a recipe is needed")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError, NameError) as error:
        raise RecipeError(f"{path} cannot be run: {type(error).__name__}: {error}") from None
    own = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }
    if path.stem in own:
        return own[path.stem]
    makers = [function for function in own.values() if _returns_recipe(function)]
    if len(makers) != 1:
        found = ", ".join(function.__name__ for function in makers) or "none"
        raise RecipeError(
            f"{path} needs one function annotated '-> Recipe' or called {path.stem!r}, not {found}"
        )
    return makers[0]


def _returns_recipe(function: Callable[..., Any]) -> bool:
    try:
        return get_type_hints(function).get("return") in get_args(Plan)
    except NameError:
        return False


def _read(path: Path) -> Plan:
    """A recipe from JSON or YAML."""
    try:
        text = path.read_text()
        value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f"{path} is not {path.suffix[1:].upper()}: {reason}") from None
    recipe = from_dict(value)
    if not isinstance(recipe, Plan):
        raise RecipeError(
            f'{path} holds no recipe; it must begin with "part": "Recipe" or "AutoencoderRecipe"'
        )
    return recipe
