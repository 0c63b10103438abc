"""Docstrings as the site shows them, in Markdown (an extension of Griffe, named in mkdocs.yml)."""

import re
from typing import Any

import griffe

# An example: lines from the first prompt up to a blank line.
_EXAMPLE = re.compile(r"^(?P<indent>[ \t]*)>>> .*(?:\n[ \t]*\S.*)*", re.M)
# What a browser would take for a tag: an inner product, a name in angle brackets.
_TAG = re.compile(r"<(?=[A-Za-z/!])")
# Several names with one description: `mean, std: ...`.
_NAMES = re.compile(r"^[ \t]+\w+(?:, \w+)+(?=: )", re.M)


class Readable(griffe.Extension):
    """Every docstring in Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one class, function, module or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = in_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change the package's own docstring, which Griffe sets last where there are stubs."""
        if pkg.docstring is not None and "```pycon" not in pkg.docstring.value:
            pkg.docstring.value = in_markdown(pkg.docstring.value)


def in_markdown(text: str) -> str:
    """Put examples between fences, keep angle brackets, and keep names together that share a description.

    >>> print(in_markdown("1 - <a, b> as `<x>`.\\n\\n>>> 1 + 1\\n2"))
    1 - &lt;a, b> as `<x>`.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    parts, end = [], 0
    for example in _EXAMPLE.finditer(text):
        indent = example["indent"]
        parts += [_prose(text[end : example.start()]), f"{indent}```pycon\n{example[0]}\n{indent}```"]
        end = example.end()
    return "".join([*parts, _prose(text[end:])])


def _prose(text: str) -> str:
    """Prose between examples; what stands in backticks stays as it is."""
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = [_TAG.sub("&lt;", piece) for piece in pieces[::2]]
    # Griffe takes what follows a blank for a type.
    return _NAMES.sub(lambda match: re.sub(", ", ",\N{NO-BREAK SPACE}", match[0]), "".join(pieces))
