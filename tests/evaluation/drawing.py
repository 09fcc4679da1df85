"""Reads charts and pages back: what was drawn, where, and whether every tag is closed."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
EMPTY = {"meta", "img", "br", "hr", "link", "input"}


def parsed(chart: str) -> ET.Element:
    return ET.fromstring(chart)


def texts(chart: str) -> list[str]:
    return ["".join(node.itertext()) for node in parsed(chart).iter(f"{SVG}text")]


def where(chart: str, words: str) -> tuple[float, float]:
    """The place of the first text that says `words`."""
    for node in parsed(chart).iter(f"{SVG}text"):
        if "".join(node.itertext()) == words:
            return float(node.attrib["x"]), float(node.attrib["y"])
    raise AssertionError(f"no {words!r} in {texts(chart)}")


def paths(chart: str, group: str) -> list[str]:
    """The d of all paths in groups of a class."""
    groups = [g for g in parsed(chart).iter(f"{SVG}g") if g.get("class") == group]
    return [path.attrib["d"] for g in groups for path in g.iter(f"{SVG}path")]


def starts(d: str) -> list[tuple[float, float]]:
    """Where the absolute moves of a path go."""
    return [(float(x), float(y)) for x, y in re.findall(r"M(-?[\d.]+) (-?[\d.]+)", d)]


class Page(HTMLParser):
    """Refuses what is not closed; keeps tags with their attributes, text and styles."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
