"""Every page of docs/ runs as it stands: every command and every line of Python."""

import re

import pytest

from tests.docs.given import names_for
from tests.docs.markdown import pages

PAGES = [page for page in pages() if page.name.startswith("docs/")]
#: What the Python of a page must print, where that tells whether it does what the page says.
PRINTED = {
    # A linear model is all that a fit can want; of its labels a fit tells less.
    "docs/remote.md": r"distance -?0\.0000 for \d{3} inputs\nR2 of the fits 0\.\d\d, with scores 1\.00\n",
    # Two models are there, of other options; none is signed again.
    "docs/cluster.md": r"0 0 \[\('cats', .*signed with mean none.*\), \('dogs', .*signed with mean none.*\)\]\n",
}


# Numbers in what a page shows as printed: training on another machine ends with other roundings.
CLOSE = 0.06
NUMBER = r"\d+(?:\.\d+)?"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_runs_from_top_to_bottom(page, runner, tmp_path):
    ran = runner.run(page, tmp_path, names_for(page))
    printed = "".join(ran.printed)
    for shown, found in ran.shown:
        assert re.sub(NUMBER, "N", found) == re.sub(NUMBER, "N", shown)
        numbers = [[float(each) for each in re.findall(NUMBER, text)] for text in (found, shown)]
        assert numbers[0] == pytest.approx(numbers[1], abs=CLOSE), f"{shown}\nis shown, and this was printed:\n{found}"
    assert re.fullmatch(PRINTED.get(page.name, r"(?s:.*)"), printed), printed
