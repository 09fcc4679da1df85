"""Guidance by single conditions: what it does to a volume, what it costs, how it is asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from brainweave.cost import calls_per_volume
from brainweave.errors import ConditionError, RecipeError
from brainweave.generator import Generator
from brainweave.recipe import Recipe, Sampling

VALUES = {"age": torch.tensor([[70.0]]), "sex": torch.tensor([[1.0]])}


def made(generator: Generator, **options: object) -> torch.Tensor:
    return generator.sample(VALUES, [1], Sampling(**{"steps": 3, **options}))


def test_a_scale_of_its_own_changes_the_volume(generator: Generator) -> None:
    plain, aged = made(generator), made(generator, guidance_by={"age": 3.0})
    assert (plain - aged).abs().max() > 0.01


def test_scales_of_all_alike_are_joint_guidance(generator: Generator) -> None:
    alike = made(generator, guidance=2.0, guidance_by={"age": 2.0, "sex": 2.0})
    assert torch.equal(alike, made(generator, guidance=2.0))


def test_the_scale_of_what_is_not_known_does_nothing(generator: Generator) -> None:
    young = {"age": torch.tensor([[25.0]])}
    plain = generator.sample(young, [1], Sampling(steps=3))
    guided = generator.sample(young, [1], Sampling(steps=3, guidance_by={"sex": 4.0}))
    torch.testing.assert_close(guided, plain)


def test_scale_0_of_the_only_known_condition_forgets_it(generator: Generator) -> None:
    young = {"age": torch.tensor([[25.0]])}
    forgot = generator.sample(young, [1], Sampling(steps=3, guidance_by={"age": 0.0}))
    torch.testing.assert_close(forgot, generator.sample({}, [1], Sampling(steps=3)))


@pytest.mark.parametrize(
    ("options", "each"),
    [
        ({}, 1),
        ({"guidance": 2.0}, 2),
        ({"guidance_by": {"age": 2.0}}, 3),
        ({"guidance_by": {"age": 1.0}}, 1),
        ({"guidance": 2.0, "guidance_by": {"age": 1.0, "sex": 3.0}}, 4),
        ({"guidance": 2.0, "guidance_by": {"age": 2.0, "sex": 3.0}}, 3),
    ],
)
def test_calls_are_counted_as_they_are_made(
    generator: Generator, tiny_recipe: Recipe, options: dict[str, object], each: int
) -> None:
    seen: list[int] = []
    hook = generator.network.register_forward_hook(lambda *_: seen.append(1))
    made(generator, **options)
    hook.remove()
    counted = calls_per_volume(tiny_recipe.replace(sampling=Sampling(**{"steps": 3, **options})))
    assert (len(seen), counted) == (3 * each, 3 * each)


def test_an_unknown_condition_is_named(generator: Generator) -> None:
    with pytest.raises(ConditionError, match="no condition 'agee'; did you mean 'age'"):
        made(generator, guidance_by={"agee": 2.0})


def test_one_scale_for_all_replaces_those_of_the_recipe() -> None:
    plan = Sampling(guidance=1.5, guidance_by={"age": 2.0})
    assert plan.told(guidance=3.0) == Sampling(guidance=3.0)
    assert plan.told(guidance_by={"sex": 1.0}) == Sampling(guidance=1.5, guidance_by={"sex": 1.0})
    assert plan.told(steps=9) == plan.replace(steps=9)


def test_a_negative_scale_is_refused() -> None:
    with pytest.raises(RecipeError, match="guidance_by"):
        Sampling(guidance_by={"age": -1.0})


def asked(cli: Callable, model: Path, out: Path, *words: str) -> tuple[int, str]:
    ended = cli("generate", model, "age=70", "sex=M", "--out", out, *words)
    return ended.code, ended.err


def test_the_command_line_takes_several(cli: Callable, model: Path, tmp_path: Path) -> None:
    words = ("--guidance", "age=1.5", "--guidance", "sex=1", "--guidance", "1.2")
    assert asked(cli, model, tmp_path / "out", *words)[0] == 0
    text = next((tmp_path / "out").glob("*_T1w.json")).read_text()
    assert '"guidance": 1.2' in text
    assert '"age": 1.5' in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["age=x"], "--guidance age=x: a number is needed, as 1.5 or age=1.5"),
        (["agee=2"], "no condition 'agee'; did you mean 'age'"),
        (["age=2", "age=3"], "--guidance of age is given twice"),
        (["2", "3"], "--guidance of all is given twice"),
    ],
)
def test_the_command_line_refuses(
    cli: Callable, model: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    options = [part for word in words for part in ("--guidance", word)]
    code, err = asked(cli, model, tmp_path / "out", *options)
    assert code == 2
    assert message in err
    assert not (tmp_path / "out").exists()
