"""`zest_jax[docs]`: a page with the documentation of a name is built."""

import subprocess
import sys
from pathlib import Path

Path("docs").mkdir()
Path("docs/index.md").write_text("# Distance\n\n::: zest_jax.distances.distance\n")
Path("mkdocs.yml").write_text("site_name: a page\ntheme: material\nplugins: [mkdocstrings]\n")
subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"], check=True)
assert "Cosine" in Path("site/index.html").read_text() or "cosine" in Path("site/index.html").read_text()
