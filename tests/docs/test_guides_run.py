"""Every how-to guide runs as it stands: every command and every line of Python."""

import pytest

from tests.docs.given import names_for
from tests.docs.markdown import pages

GUIDES = [page for page in pages() if page.name.startswith("docs/how-to/")]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_guide_runs_from_top_to_bottom(page, runner, tmp_path):
    runner.run(page, tmp_path, names_for(page)).check_shown()
