"""Schemas: what columns are taken for, there and back as JSON, and what becomes of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from brainweave.conditions import Binary, Choice, Continuous, Ordinal, SetOf
from brainweave.conditions.schema import conditions_from
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.inference import description, infer
from brainweave.data.schema import Column, Schema
from brainweave.errors import CohortError, RecipeError


def cohort(**columns: list[str]) -> Cohort:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Cohort([Subject(id=f"s{i}", covariates=row) for i, row in enumerate(rows)], "toy")


def column(name: str, words: list[str], **said: object) -> Column:
    """What a single column is taken for."""
    (found,) = infer(cohort(**{name: words}), {name: said}).columns
    return found


AGES = ["34.2", "61", "n/a", "45.5", "70", "52"]


def test_numbers_are_continuous_from_the_lowest_to_the_highest() -> None:
    found = column("age", AGES, Units="years", Description="Age at scan")
    assert (found.kind, found.low, found.high, found.unit) == ("continuous", 34.2, 70, "years")
    assert (found.known, found.missing, found.unknown) == (5, 1, 0)
    assert found.description == "Age at scan"


def test_intervals_are_numbers_and_open_ends_get_room_that_is_told() -> None:
    found = column("age", ["34", "60-65", ">89", "n/a"])
    assert (found.kind, found.low, found.high, found.unknown) == ("continuous", 34, 94.5, 0)
    assert found.note == "2 intervals; above is taken for up to 94.5"
    (condition,) = conditions_from(Schema(columns=(found,)))
    assert condition.parse(">89") == (89.0, 94.5)


def test_a_few_words_among_numbers_are_counted_as_unknown() -> None:
    found = column("age", [*AGES, "55", "old"])
    assert (found.kind, found.known, found.unknown) == ("continuous", 6, 1)


def test_age_and_age_group_are_one_field() -> None:
    both = cohort(age=["34", "n/a", "61.5"], age_group=["30-35", "40-45", "n/a"])
    age, group = infer(both).columns
    assert (age.columns, age.low, age.high, age.known) == (("age_group",), 30, 61.5, 3)
    assert group.kind == "ignored"
    assert "tells age" in group.note


@pytest.mark.parametrize(
    ("name", "words", "kind", "values"),
    [
        ("sex", ["M", "female", "F", "m"], "choice", ("F", "M")),
        ("tumour", ["yes", "no", "n", "n/a"], "binary", ()),
        ("smoker", ["1", "0", "0"], "binary", ()),
        ("grade", ["1", "3", "2", "3"], "ordinal", ("1", "2", "3")),
        ("ills", ["stroke;gout", "gout", "none"], "set", ("gout", "stroke")),
        ("group", ["patient", "Control", "control", "control"], "choice", ("control", "patient")),
        ("scan_date", ["1-2-2003", "2-2-2003", "3-2-2003", "5-2-2003"], "ignored", ()),
        ("hand", ["right", "right", "n/a"], "ignored", ()),
        ("empty", ["n/a", "", "n/a"], "ignored", ()),
        ("qc", ["ok", "exclude", "ok", "ok"], "ignored", ()),
    ],
)
def test_a_column_is_taken_for(
    name: str, words: list[str], kind: str, values: tuple[str, ...]
) -> None:
    found = column(name, words)
    assert (found.kind, found.values) == (kind, values)
    assert found.note or kind not in ("ignored", "ordinal")


def test_codes_with_described_levels_are_called_by_their_description() -> None:
    levels = {"1": "male", "2": "female", "9": "not reported"}
    found = column("sex", ["1", "2", "2", "9", "3"], Levels=levels)
    assert (found.kind, found.values) == ("choice", ("M", "F"))
    assert (found.known, found.unknown) == (3, 1)
    (sex,) = conditions_from(Schema(columns=(found,)))
    assert [sex.show(sex.parse(word)) for word in ("1", "male", "F", "9")] == ["M", "M", "F", None]


def test_words_with_described_levels_keep_their_name_and_gain_an_alias() -> None:
    levels = {"depr": {"Description": "patients"}, "control": {"Description": "healthy"}}
    found = column("group", ["depr", "control", "depr"], Levels={**levels, "old": "others"})
    assert found.values == ("depr", "control")
    assert found.aliases == {"patients": "depr", "healthy": "control"}
    assert found.note == "never seen: old"


@pytest.mark.parametrize("name", ["site", "scanner_model", "manufacturer", "field_strength"])
def test_how_a_scan_was_made_is_a_nuisance(name: str) -> None:
    assert column(name, ["1.5", "3", "7.5", "3"]).nuisance


def test_field_strengths_are_logarithmic() -> None:
    found = column("magnetic_field_strength", ["1.5", "3", "7", "3"], Units="T")
    assert (found.kind, found.log) == ("continuous", True)


@pytest.mark.parametrize("name", ["edu.level", "type"])
def test_a_name_that_no_condition_can_have_is_changed_and_the_column_kept(name: str) -> None:
    found = column(name, ["a", "b", "a", "b"])
    assert found.columns == (name,)
    (condition,) = conditions_from(Schema(columns=(found,)))
    assert condition.known({name: "b"}) == (1.0,)


def test_every_kind_becomes_a_condition() -> None:
    schema = Schema(
        columns=(
            Column(name="age", kind="continuous", low=20, high=80, unit="years", hide=0.3),
            Column(name="grade", kind="ordinal", values=("low", "high")),
            Column(name="site", kind="choice", values=("A", "B"), nuisance=True),
            Column(name="tumour", kind="binary", aliases={"glioma": "yes"}),
            Column(name="ills", kind="set", values=("stroke",)),
            Column(name="note", kind="ignored"),
        )
    )
    assert conditions_from(schema, tokens=2) == (
        Continuous(name="age", low=20, high=80, unit="years", hide=0.3, tokens=2),
        Ordinal(name="grade", values=("low", "high"), tokens=2),
        Choice(name="site", values=("A", "B"), nuisance=True, tokens=2),
        Binary(name="tumour", aliases={"glioma": "yes"}, tokens=2),
        SetOf(name="ills", values=("stroke",), tokens=2),
    )


def test_a_schema_is_read_back_as_it_was(tmp_path: Path) -> None:
    schema = infer(cohort(age=AGES, sex=["F", "M"] * 3))
    schema.save(tmp_path / "schema.json")
    assert Schema.open(tmp_path / "schema.json") == schema
    assert conditions_from(tmp_path / "schema.json") == conditions_from(schema)


def test_a_schema_is_edited_as_json(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    infer(cohort(age=AGES, sex=["F", "M"] * 3)).save(path)
    content = json.loads(path.read_text())
    content["columns"][0] |= {"low": 18, "high": 100}
    content["columns"][1]["kind"] = "ignored"
    path.write_text(json.dumps(content))
    (age,) = conditions_from(path)
    assert (age.low, age.high) == (18, 100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "number"}, "kind"),
        ({"lowest": 3}, "no field 'lowest'; did you mean 'low'"),
        ({"name": "sex"}, "two columns are named 'sex'"),
    ],
)
def test_a_schema_that_makes_no_sense_is_refused(
    tmp_path: Path, change: Mapping[str, object], message: str
) -> None:
    path = tmp_path / "schema.json"
    infer(cohort(age=AGES, sex=["F", "M"] * 3)).save(path)
    content = json.loads(path.read_text())
    content["columns"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(CohortError, match=message):
        Schema.open(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"part": "Column", "name": "a", "kind": "set"}'])
def test_a_file_that_is_no_schema_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(CohortError, match="schema"):
        Schema.open(tmp_path / "s.json")


def test_a_kind_without_its_values_is_refused() -> None:
    with pytest.raises(RecipeError, match="values"):
        conditions_from(Schema(columns=(Column(name="site", kind="choice"),)))


def test_a_bids_description_lies_in_its_folder_or_beside_its_table(tmp_path: Path) -> None:
    said = {"Age": {"Units": "years"}, "comment": "text"}
    (tmp_path / "participants.json").write_text(json.dumps(said))
    for place in (tmp_path, tmp_path / "participants.tsv"):
        assert description(place) == {"Age": {"Units": "years"}}
    assert description(tmp_path / "other.csv") == {}
    assert infer(cohort(age=AGES), description(tmp_path)).columns[0].unit == "years"


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "participants.json").write_text(text)
    with pytest.raises(CohortError, match=r"participants\.json"):
        description(tmp_path)


def test_the_command_writes_a_schema_and_prints_it(
    cli: Callable, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "schema.json"
    ended = cli("schema", heads, "--out", out)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("field")
    assert "known  missing  unknown  values" in ended.out
    kinds = {column.name: column.kind for column in Schema.open(out).columns}
    assert (kinds["age"], kinds["sex"]) == ("continuous", "choice")
    again = cli("schema", heads, "--out", out)
    assert again.code == 3
    assert "exists; choose another name" in again.err
