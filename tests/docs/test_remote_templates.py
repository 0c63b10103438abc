"""The templates of docs/remote.md are templates."""

import json
import re

import pytest

from tests.docs.markdown import ROOT

pytest.importorskip("httpx")


def test_templates_of_the_table_are_templates():
    from zest_jax.blackbox.http.protocols import TemplateProtocol

    page = (ROOT / "docs" / "remote.md").read_text(encoding="utf-8")
    table = page.split("| | request | answer |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| [^|]* \| `(.*?)` \| `(.*?)` \|$", table, re.M)
    assert len(rows) == 5
    for request, answer in rows:
        assert json.loads(request)
        TemplateProtocol(request=request, answer=answer)
