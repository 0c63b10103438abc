"""`zest_jax[dev]`: the tools by which this package is made look at the sdist."""

import subprocess
import sys

for command in (
    ["ruff", "check", "--no-cache", "."],
    ["ruff", "format", "--no-cache", "--check", "."],
    ["pyright", "zest_jax/errors.py"],
    ["pre-commit", "validate-config", ".pre-commit-config.yaml"],
    [sys.executable, "-m", "build", "--version"],
    ["mkdocs", "--version"],
    ["papermill", "--version"],
    ["uv", "--version"],
    [sys.executable, "-c", "import mlxtend, pytest, torch, ray, lance"],
):
    subprocess.run(command, cwd=sys.argv[1], check=True, stdout=subprocess.DEVNULL)
