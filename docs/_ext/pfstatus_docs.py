# SPDX-License-Identifier: Apache-2.0
"""What this site needs beyond Sphinx: inline diagrams, the C header, short class signatures."""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c_header import to_rst
from docutils import nodes
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent.parent
HEADER = DOCS.parent / "csrc/pfstatus.h"


class InlineDiagrams(SphinxTransform):
    """Puts our drawings into the page, so that they follow its switch of light and dark."""

    default_priority = 400

    def apply(self, **_options: Any) -> None:
        """Replace the images of a page."""
        for image in list(self.document.findall(nodes.image)):
            name = Path(image["uri"]).name
            drawing = DOCS / "diagrams" / name
            if not name.endswith(".svg") or 'class="diagram"' not in drawing.read_text():
                continue
            figure = f'<figure class="diagram">{drawing.read_text()}</figure>'
            image.parent.replace_self(nodes.raw("", figure, format="html"))
            self.env.note_dependency(str(drawing))


def insert_header(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the header's manual where the page asks for it."""
    if docname == "reference/c":
        source[0] = source[0].replace("@PFSTATUS_H@", to_rst(HEADER.read_text()))


def shorten_signature(
    _app: Sphinx, what: str, _name: str, thing: Any, _options: Any, *_rest: str | None
) -> tuple[str, None] | None:
    """Leave out the constructors of enums and of values that the library makes itself."""
    if what in ("class", "exception") and inspect.isclass(thing):
        made_by_us = "_fields" in vars(thing) or "__dataclass_fields__" in vars(thing)
        if issubclass(thing, (Enum, BaseException)) or (made_by_us and thing.__name__ != "Policy"):
            return "", None
    return None


_attributes: dict[str, list[str]] = {}


def keep_attribute(
    _app: Sphinx, what: str, name: str, _thing: Any, _options: Any, lines: list[str]
) -> None:
    """Put an attribute's docstring aside: Napoleon takes "Down: no partner." for type and text."""
    if what in ("attribute", "data", "property"):
        _attributes[name] = list(lines)


def restore_attribute(
    app: Sphinx, _what: str, name: str, _thing: Any, _options: Any, lines: list[str]
) -> None:
    """Have it read as any other docstring."""
    if name in _attributes:
        kept = _attributes.pop(name)
        lines[:] = GoogleDocstring(kept, app.config, app, "method", name).lines()


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_transform(InlineDiagrams)
    app.connect("source-read", insert_header)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", keep_attribute, priority=400)  # Napoleon has 500
    app.connect("autodoc-process-docstring", restore_attribute, priority=600)
    return {"parallel_read_safe": True}
