"""The page: whole, closed, alone, in words first, and safe against names from files."""

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from drawing import Page
from PIL import Image

from brainweave.data.montage import png
from brainweave.errors import EvaluationError
from brainweave.evaluation.axes import Axes
from brainweave.evaluation.base import Score
from brainweave.evaluation.charts import bars
from brainweave.evaluation.page import render
from brainweave.evaluation.report import Figure, Finding, Report, Table

EVIL = "<script>alert(1)</script>&\"'"
CHART = bars(["CSF"], {"made": [1.0]}, Axes("volumes", "volume, mL", ""))
PICTURE = png(Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)))


def report(**changes: object) -> Report:
    """A small report with everything in it."""
    scores = (
        Score("pca/kid", 2.0, 1.0, 3.0, 60, 1.0, 0.5, 2.0, "ab" * 32),
        Score("pca/kid [sex=F]", 9.0, None, None, 30, 1.0, 0.5, 16.0),
        Score("copy/nearer", 0.5, 0.4, 0.6, 60),
    )
    whole: dict[str, object] = {
        "title": "Made against real",
        "findings": (Finding("like", "bad", "They are too smooth."),),
        "scores": scores,
        "figures": (
            Figure("Pictures", "Made", PICTURE, "Middle planes.", synthetic=True),
            Figure("Anatomy", "Volumes", CHART, "One bar per region."),
        ),
        "tables": (Table("Anatomy", "Means", ("region", "mL"), (("CSF", -312.4),), "Means."),),
        "facts": {"compared": {"real": "60 volumes"}, "seed": 7, "versions": {"torch": "2.6"}},
    }
    return Report(**{**whole, **changes})  # type: ignore[arg-type]


def test_every_tag_is_closed() -> None:
    Page(render(report()))


def test_an_empty_report_is_a_page() -> None:
    page = Page(render(Report("Nothing", (), ())))
    assert "No score has halves of real" in page.text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = render(report())
    page = Page(html)
    assert not page.all("script") + page.all("link") + page.all("iframe")
    assert all(str(image["src"]).startswith("data:") for image in page.all("img"))
    links = re.findall(r'(?:href|src|url\()="?([^#d)"][^)"]*)', html)
    assert not [link for link in links if not link.startswith("data:")]
    assert "default-src 'none'" in html


def test_the_first_screen_answers_before_any_section() -> None:
    text = Page(render(report())).text
    order = ["Made against real", "60 volumes", "Are they like real ones? No", "too smooth",
             "Do they obey? Not tested", "Do they copy? Not tested",
             "What to distrust Nothing noted", "Scores against halves", "Middle planes",
             "One bar per region", "low, high: 95 % interval", "torch"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_grade_has_a_word_and_a_mark_beside_its_colour() -> None:
    html = render(report())
    assert re.search(r'class="card bad">.*?<svg class="symbol bad".*?No</strong>', html)


def test_findings_of_different_grades_are_told_apart() -> None:
    two = (Finding("like", "bad", "Smooth."), Finding("like", "good", "Same volumes."))
    page = Page(render(report(findings=two)))
    assert [s["aria-label"] for s in page.all("svg") if "aria-label" in s][:2] == ["bad", "good"]


def test_text_from_files_is_escaped() -> None:
    html = render(
        report(
            title=EVIL,
            findings=(Finding("copy", "fair", EVIL),),
            scores=(Score(f"{EVIL}/{EVIL}", 1.0, z=1.0, null_mean=1.0, null_sd=1.0, digest=EVIL),),
            figures=(Figure(EVIL, EVIL, PICTURE, EVIL),),
            tables=(Table(EVIL, EVIL, (EVIL,), ((EVIL,),), EVIL),),
            facts={"compared": {EVIL: EVIL}, EVIL: {EVIL: [EVIL]}, "x" + EVIL: EVIL},
        )
    )
    assert not Page(html).all("script")
    assert Page(html).text.count("alert(1)") >= 12


def test_made_pictures_say_synthetic() -> None:
    page = Page(render(report()))
    assert [image["alt"] for image in page.all("img")] == ["synthetic: Made"]
    assert "Made synthetic Middle planes." in page.text


def test_a_picture_is_inside_as_it_was() -> None:
    (image,) = Page(render(report())).all("img")
    assert b64decode(str(image["src"]).partition(",")[2]) == PICTURE
    assert (image["width"], image["height"]) == ("8", "8")


def test_a_large_picture_is_kept_smaller() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200)).astype(np.uint8)
    big = png(Image.fromarray(noise))
    page = Page(render(report(figures=(Figure("a", "b", big, "c"),))))
    kept = b64decode(str(page.all("img")[0]["src"]).partition(",")[2])
    with Image.open(BytesIO(kept)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (1200, 900))
    assert len(kept) < 0.8 * len(big)


@pytest.mark.parametrize("body", [b"GIF89a", b"", "<p>text</p>"])
def test_what_is_no_picture_is_refused(body: bytes | str) -> None:
    with pytest.raises(EvaluationError, match="figure 'b'"):
        render(report(figures=(Figure("a", "b", body, "c"),)))


def test_strata_are_not_on_the_first_screen() -> None:
    html = render(report())
    first, _, rest = html.partition("<nav")
    assert "sex=F" not in first
    assert "sex=F" in rest
    assert "1 more without such halves" in first


def test_long_tables_are_folded() -> None:
    rows = tuple((f"sub-{index}", float(index)) for index in range(50))
    page = Page(render(report(tables=(Table("a", "All", ("id", "age"), rows, ""),))))
    assert "All (50 rows)" in page.text
    assert len(page.all("details")) == 1


def test_cells_are_numbers_as_one_writes_them() -> None:
    rows = ((1, 0.000123, None, True), (2, -1.5, float("nan"), False))
    page = Page(render(report(tables=(Table("a", "b", ("i", "x", "y", "z"), rows, ""),))))
    assert "1 1.23e−04 – True 2 −1.5 – False" in page.text


def test_sections_are_linked_in_order() -> None:
    page = Page(render(report()))
    links = [str(a["href"])[1:] for a in page.all("a")]
    assert links == ["section-0", "section-1", "scores", "facts"]
    assert {str(s.get("id")) for s in page.all("section")} >= set(links)


def test_the_first_forest_is_short_and_nothing_is_lost() -> None:
    names = ("pca/kid", "pca/recall@3", "anatomy/left cortex/effect", "anatomy/left cortex/slope")
    scores = tuple(Score(name, 1.0, 0.5, 1.5, 9, 0.0, 1.0, 1.0) for name in names)
    text = Page(render(replace(report(), scores=scores))).text
    first, _, rest = text.partition("2 more scores beside their null")
    assert "left cortex/effect" in first
    for name in ("recall@3", "left cortex/slope"):
        assert name not in first
        assert name in rest
