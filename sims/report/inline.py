"""Figures within a page: shapes that several of them use, letters above all, stand in it once.

Matplotlib writes every letter as an outline, so that a figure looks the same everywhere, and the outlines anew in each
figure: in a page of many figures that is most of its bytes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from ..plots.style import COLOURS
from .mathml import Safe

__all__ = ["Shapes"]

Element = ElementTree.Element

_REFERENCE = re.compile(r"#([^)\"]+)")
_DECIMALS = re.compile(r"(\.\d\d)\d+")
# Where a reference stands, and where numbers do.
_LINKS = ("href", "clip-path")
_NUMBERS = ("d", "x", "y", "width", "height", "points")
_TRANSLATION = re.compile(r"translate\([^)]*\)")
_DROPPED = ("metadata", "style", "defs")
_KEPT = ("viewBox", "width", "height")


class Shapes:
    """Shapes that the figures of one page share.

    `figure` gives an SVG as it stands in the page, with colours by name (`--ink` and so on); `definitions` is what the
    page must hold beside them.
    """

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def figure(self, text: str) -> Safe:
        """An SVG of ours as a part of the page."""
        root = ElementTree.fromstring(text[text.index("<svg") :])
        named = {e.get("id", ""): e for e in root.iter() if "id" in e.attrib}
        inner = self._children(root, named)
        attributes = "".join(f' {k}="{html.escape(v)}"' for k, v in root.attrib.items() if k in _KEPT)
        return Safe(f"<svg{attributes}>{inner}</svg>")

    @property
    def definitions(self) -> Safe:
        """All shapes, in a figure that takes no room."""
        inner = "".join(re.sub(r"^<([\w-]+)", rf'<\1 id="{mark}"', shape) for shape, mark in self._ids.items())
        return Safe(f'<svg class="shapes" width="0" height="0" aria-hidden="true"><defs>{inner}</defs></svg>')

    def _shared(self, shape: str) -> str:
        """The identifier of a shape, which starts with the tag of one element."""
        return self._ids.setdefault(shape, f"s{len(self._ids)}")

    def _children(self, element: Element, named: Mapping[str, Element]) -> str:
        return "".join(self._written(child, named) for child in element if _tag(child) not in _DROPPED)

    def _written(self, element: Element, named: Mapping[str, Element]) -> str:
        tag, inner = _tag(element), self._children(element, named)
        attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in self._attributes(element, named))
        if tag == "g":
            if not attributes or not inner:
                return inner
            if inner.count("<use") > 1 and re.fullmatch(r"(<use[^<>]*/>)+", inner) and "style=" not in inner:
                # A word: the same one stands in many figures.
                return f'<use href="#{self._shared(f"<g>{inner}</g>")}"{attributes}/>'
        return f"<{tag}{attributes}>{inner}</{tag}>" if inner else f"<{tag}{attributes}/>"

    def _attributes(self, element: Element, named: Mapping[str, Element]) -> Iterator[tuple[str, str]]:
        for name, value in element.attrib.items():
            name = name.rpartition("}")[2]
            if name in _LINKS and (found := _REFERENCE.search(value)) and found[1] in named:
                shape = self._written(named[found[1]], named)
                value = _REFERENCE.sub(f"#{self._shared(shape)}", value)
            elif name in _NUMBERS:
                # A hundredth of a point is enough.
                value = _rounded(value)
            elif name == "transform":  # scales keep their digits
                value = _TRANSLATION.sub(lambda m: _rounded(m[0]), value)
            elif name == "style":
                value = _styled(value)
            if name != "id" and value:
                yield name, value


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _rounded(numbers: str) -> str:
    return " ".join(_DECIMALS.sub(r"\1", numbers).split())


def _styled(style: str) -> str:
    for colour, name in COLOURS.items():
        style = style.replace(f": {colour}", f": var(--{name})")
    return style.replace(": ", ":").replace("; ", ";")
