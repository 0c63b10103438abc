"""`zest_jax[notebooks]`: a notebook is run as a program."""

import json
from pathlib import Path

import papermill

cell = {"cell_type": "code", "execution_count": None, "id": "one", "metadata": {}, "outputs": []}
kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
source = "import zest_jax as zest\nprint(zest.ProbeSet.load('probes.npz'))"
notebook = {"cells": [{**cell, "source": source}], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
Path("in.ipynb").write_text(json.dumps(notebook))
papermill.execute_notebook("in.ipynb", "out.ipynb", progress_bar=False)
assert "ProbeSet(4 " in Path("out.ipynb").read_text()
