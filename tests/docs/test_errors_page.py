"""docs/errors.md quotes messages that the package has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zest_jax as zest
from zest_jax.errors import missing_extra

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
QUOTED = [" ".join(text.split()) for text in re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S)]
# What stands where a message says something that differs from case to case.
ANY = "\N{REPLACEMENT CHARACTER}"


def messages() -> Iterator[str]:
    """Every text in the package, with ANY for what is put in."""
    for path in sorted((ROOT / "zest_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else ANY for part in node.values)


MESSAGES = list(dict.fromkeys(" ".join(text.split()) for text in messages()))


def is_quoted_from(quoted: str, message: str) -> bool:
    """Whether a message, from its beginning, reads as quoted; `...` stands for what is put in, and for nothing else."""
    pattern = re.escape(quoted).replace(r"\.\.\.", f"{ANY}(?:[^{ANY}]{{0,3}}{ANY})*")
    return re.match(pattern, message) is not None


@pytest.mark.parametrize("quoted", QUOTED)
def test_quoted_messages_are_in_the_package(quoted):
    assert any(is_quoted_from(quoted, message) for message in MESSAGES)


def test_the_page_quotes_many_and_made_up_ones_would_be_noticed():
    assert len(QUOTED) >= 25
    for made_up in ("... is not deterministic: asked the same ... inputs thrice", "the budget of ten inputs is spent"):
        assert not any(is_quoted_from(made_up, message) for message in MESSAGES)


def test_messages_read_as_quoted_when_they_are_raised():
    raised = [str(missing_extra("onnxruntime", "onnx"))]
    box = zest.from_callable(lambda x: x.mean((0, 1, 2)), label="wrong")
    probes = zest.ProbeSet.from_arrays(
        references=[[[[0.2], [0.8]]]], segments=[[[0, 1]]], masks=[[[1, 1], [0, 1], [1, 0]]], fill=0
    )
    with pytest.raises(zest.ZestError) as error:
        zest.sign(box, probes)
    raised.append(str(error.value))
    with pytest.raises(ValueError, match="only") as few:
        zest.choose_references([[[0]]], 2)
    raised.append(str(few.value))
    for text in raised:
        patterns = [re.escape(each).replace(r"\.\.\.", ".+") for each in QUOTED]
        assert any(re.match(pattern, text) for pattern in patterns), text
