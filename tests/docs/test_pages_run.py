"""Every page of docs/ that is no guide runs as it stands: every command and every line of Python."""

import re

import pytest

from tests.docs.given import names_for
from tests.docs.markdown import pages

PAGES = [page for page in pages() if page.name.startswith("docs/") and not page.name.startswith("docs/how-to/")]
#: What the Python of a page must print, where that tells whether it does what the page says.
PRINTED = {
    # A linear model is all that a fit can want; of its labels a fit tells less.
    "docs/remote.md": r"distance -?0\.0000 for \d{3} inputs\nR2 of the fits 0\.\d\d, with scores 1\.00\n",
    # Two models are there, of other options; none is signed again.
    "docs/cluster.md": r"0 0 \[\('cats', .*signed with mean none.*\), \('dogs', .*signed with mean none.*\)\]\n",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_runs_from_top_to_bottom(page, runner, tmp_path):
    ran = runner.run(page, tmp_path, names_for(page))
    printed = "".join(ran.printed)
    ran.check_shown()
    if page.name in PRINTED:
        assert re.fullmatch(PRINTED[page.name], printed), printed
