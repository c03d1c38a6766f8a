"""LaTeX of our own formulas as MathML, which every current browser shows without a script.

What the converter gives is checked against the elements and attributes of presentation MathML before it enters a page:
names of parameters are text that somebody else wrote.
"""

from __future__ import annotations

import html
from xml.etree import ElementTree

__all__ = ["Safe", "checked_mathml", "mathml"]

_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_ELEMENTS = """
    math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle
    mpadded mphantom
"""
_ATTRIBUTES = """
    display stretchy fence form separator movablelimits columnalign rowspacing columnspacing mathvariant linethickness
    accent minsize maxsize width height depth lspace rspace displaystyle scriptlevel largeop symmetric
"""


class Safe(str):
    """HTML of our own making, which a template does not escape."""

    def __html__(self) -> str:
        return str(self)


def mathml(latex: str, block: bool = False) -> Safe:
    """A formula as MathML; as LaTeX in a code element where it cannot be converted.

    Parameters
    ----------
    latex : str
    block : bool
        On a line of its own.
    """
    from latex2mathml.converter import convert

    try:
        return checked_mathml(convert(latex, display="block" if block else "inline"))
    except Exception:
        # Whatever the converter does not know is shown as it was written.
        return Safe(f"<code>{html.escape(latex)}</code>")


def checked_mathml(text: str) -> Safe:
    """The same MathML, written anew; raises `ValueError` for anything that is no formula."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"no well-formed MathML: {error}") from None
    return Safe(_written(root))


def _written(element: ElementTree.Element) -> str:
    name = element.tag.removeprefix(_NAMESPACE)
    if name not in _ELEMENTS.split():
        raise ValueError(f"<{name}> is no element of a formula")
    unknown = set(element.attrib) - set(_ATTRIBUTES.split())
    if unknown:
        raise ValueError(f"{sorted(unknown)} are no attributes of a formula")
    if element.get("fence") == "true":
        element.attrib.update(lspace="0", rspace="0")
    attributes = "".join(f' {key}="{html.escape(value)}"' for key, value in element.attrib.items())
    inner = html.escape(element.text or "") + "".join(
        _written(child) + html.escape(child.tail or "") for child in element
    )
    return f"<{name}{attributes}>{inner}</{name}>"
