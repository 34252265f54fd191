# SPDX-License-Identifier: Apache-2.0
"""The C reference: pfstatus.h, whose comments are its manual, as reStructuredText."""

from __future__ import annotations

import re
from textwrap import dedent, indent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECTION = r"/\* -{4} (?P<section>.+?) -+ \*/\n"
_COMMENT = r"/\*\*?(?P<comment>.*?)\*/\s*\n"
_DEFINE = r"#define (?P<macro>PFS_\w+)(?:[^\n]*\\\n)*[^\n]*\n"
_TYPEDEF = r"typedef (?P<typedef>[^;]+);"
_TYPE = r"(?P<kind>struct|enum) (?P<tag>\w+)(?: \{(?P<body>.*?)^\})?;"
_FUNCTION = r"PFS_API (?P<prototype>[^;]+);"
_TOKEN = re.compile(
    "|".join(["^" + part for part in (_SECTION, _COMMENT, _DEFINE, _TYPEDEF, _TYPE, _FUNCTION)]),
    re.MULTILINE | re.DOTALL,
)
_TRAILER = re.compile(r"\b(Return|Threads|Allocates|System calls|Source): ")
_WORD = re.compile(
    r"(?P<function>pfs_\w+)\(\)|(?:struct|enum) (?P<type>pfs_\w+)|@(?P<argument>\w+)"
    r"|(?P<code>-E[A-Z0-9]+\b|\b\w+\([237]\)|\b[A-Z]\w*_\w+\*?|\b[a-z]+(?:_\w+)+(?:\.\w+)*"
    r"|\b\w+/[\w/]+\.[ch]\b)|(?P<special>[*`|\\]|_(?!\w))"
)


def to_rst(header: str) -> str:
    """Give the header's public part as one page's text."""
    opening = re.search(r"/\*\n \* pfstatus\.h - (.*?) \*/\n#ifndef", header, re.DOTALL)
    assert opening, "the header begins with its manual"
    start = re.search("^" + _SECTION, header, re.MULTILINE)
    assert start, "the header is cut into sections"
    return _manual(opening[1]) + "".join(_declarations(header[start.start() :]))


def prose(text: str) -> str:
    """Mark what is code, link what is declared, escape what reStructuredText would take."""

    def mark(found: re.Match[str]) -> str:
        if found["function"]:
            return f":c:func:`{found['function']}`"
        if found["type"]:
            return f":c:type:`{found['type']}`"
        if found["special"]:
            return "\\" + found["special"]
        return f"``{found['argument'] or found['code']}``"

    return _WORD.sub(mark, " ".join(text.split()))


def _lines(comment: str) -> str:
    """A comment without its frame."""
    return re.sub(r"^ \* ?", "", comment, flags=re.MULTILINE).strip("\n")


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


def _manual(comment: str) -> str:
    """The comment at the top: paragraphs, an example, a table of error codes."""
    out: list[str] = []
    for paragraph in _paragraphs(_lines(" * " + comment)):
        if re.match(r"\t-E", paragraph):
            rows = re.findall(r"(-E\w+)\s+(.*?)(?=\n\t-E|\Z)", paragraph, re.DOTALL)
            table = [f"* - ``{code}``\n  - {prose(text)}" for code, text in rows]
            out.append(".. list-table::\n   :widths: 22 78\n\n" + indent("\n".join(table), "   "))
        elif paragraph.startswith("\t"):
            code = indent(dedent(paragraph), "   ")
            out.append(
                code if out[-1].startswith((".. code", "   ")) else f".. code-block:: c\n\n{code}"
            )
        elif heading := re.match(r"([A-Z]{2}[A-Z ]+)\. ", paragraph):
            title = heading[1].capitalize()
            out.append(f"{title}\n{'-' * len(title)}\n\n{prose(paragraph[heading.end() :])}")
        else:
            out.append(prose(paragraph))
    return "\n\n".join(out) + "\n\n"


def _declarations(text: str) -> Iterator[str]:
    comment = ""
    for token in _TOKEN.finditer(text):
        if token["comment"] is not None:
            comment = _lines(token["comment"])
            continue
        if token["section"]:
            yield f"{token['section']}\n{'-' * len(token['section'])}\n\n"
            if comment:  # it spoke of what follows
                yield prose(comment) + "\n\n"
        else:
            yield _item(token, comment)
        comment = ""


def _item(token: re.Match[str], comment: str) -> str:
    said = prose(comment)
    if token["prototype"]:
        return _directive("function", token["prototype"], _function(comment))
    if token["macro"]:
        return _directive("macro", token["macro"], said or "Its initialiser; see Growth.")
    if token["typedef"]:
        return _directive("type", token["typedef"], said or "See :c:func:`pfs_tap`.")
    if token["body"] is None:
        return _directive(token["kind"], token["tag"], said or "Opaque: sockets and buffers.")
    # As it stands: C is what its readers read best.
    code = ".. code-block:: c\n\n" + indent(token[0].expandtabs(8), "   ")
    return _directive(token["kind"], token["tag"], f"{said}\n\n{code}")


def _directive(kind: str, signature: str, text: str) -> str:
    return f".. c:{kind}:: {' '.join(signature.split())}\n\n{indent(text, '   ')}\n\n"


def _function(comment: str) -> str:
    """kernel-doc: "name - summary", @arguments, paragraphs, and "Return: ... Threads: ..."."""
    summary, *rest = _paragraphs(re.sub(r"^\s*\w+ - ", "", comment, count=1))
    arguments = re.split(r"\n@", summary)
    out = [prose(arguments[0][0].upper() + arguments[0][1:].rstrip(".")) + "."]
    fields = []
    for part in rest:
        if part.startswith("@"):
            arguments += re.split(r"\n@", part[1:])
            continue
        before, *trailers = _TRAILER.split(part)
        if before.strip():
            out.append(prose(before))
        fields += [
            f":{name}: {prose(text)}"
            for name, text in zip(trailers[::2], trailers[1::2], strict=True)
        ]
    params = [
        f":param {name.strip()}: {prose(text)}"
        for name, text in (argument.split(":", 1) for argument in arguments[1:])
    ]
    return "\n\n".join([*out, "\n".join(params + fields)])
