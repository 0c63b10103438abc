"""README.md runs as it stands: every command and every line of Python."""

import re

from tests.docs.given import names_for
from tests.docs.markdown import ROOT, Document


def test_readme_runs_from_top_to_bottom(runner, tmp_path):
    document = Document.read(ROOT / "README.md")
    printed = "".join(runner.run(document, tmp_path, names_for(document)).printed).splitlines()
    # A model and itself one epoch earlier; two pipelines trained on texts of which they share most.
    distances = [float(line) for line in printed if re.fullmatch(r"0\.\d+", line)]
    assert len(distances) == 2
    assert all(0 < distance < 0.5 for distance in distances)
    trained = r"[01]\.\d+ [01]\.\d+ \(LineageStep\(kind='train'.*LineageStep\(kind='prune'.*"
    assert any(re.fullmatch(trained, line) for line in printed)
