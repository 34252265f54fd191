# SPDX-License-Identifier: Apache-2.0
"""What this site needs beyond Sphinx: inline diagrams, the C header, short class signatures."""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c_header import to_rst
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent.parent
HEADER = DOCS.parent / "csrc/pfstatus.h"


class Diagram(SphinxDirective):
    """``diagrams/NAME.svg``, inlined so that it follows the page's switch of light and dark."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the drawing."""
        path = DOCS / "diagrams" / f"{self.arguments[0]}.svg"
        self.env.note_dependency(str(path))
        return [
            nodes.raw("", f'<figure class="diagram">{path.read_text()}</figure>', format="html")
        ]


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


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("diagram", Diagram)
    app.connect("source-read", insert_header)
    app.connect("autodoc-process-signature", shorten_signature)
    return {"parallel_read_safe": True}
