"""`zest_jax[report]`: a page about a suspect is written."""

import sys
from pathlib import Path

from zest_jax.cli.main import main

code = main(["report", "first.sig", "--models", "second.sig", "third.sig", "--probes", "probes.npz", "-o", "page.html"])
if code == 0:
    assert "first" in Path("page.html").read_text(encoding="utf-8")
sys.exit(code)
