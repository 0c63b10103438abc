"""What README.md says is what is there."""

import re
import runpy
from pathlib import Path

import pytest

import zest_jax as zest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_results_files():
    script = runpy.run_path(str(ROOT / "scripts" / "readme_figures.py"))
    assert script["with_figures"](README) == README
    assert README.count("| Lite") >= 5


def test_the_five_lines_run_as_written(golden, tmp_path, monkeypatch, capsys):
    block = re.search(r"## Five lines\n\n```python\n(.*?)```", README, re.S)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suspect.onnx").write_bytes(golden.models["victim"].read_bytes())
    from tests.golden.flax_twin import flax_twin

    # The twin of the suspect, both asked without normalisation: the same function.
    code = block[1].replace("n_references=128, n_samples=1000", "n_references=2, n_samples=100")
    exec(code, {"images": golden.images, "model": flax_twin(golden.models["victim"])})
    assert float(capsys.readouterr().out) == pytest.approx(0, abs=1e-5)


def test_every_command_shown_is_a_command_with_those_options(capsys):
    from zest_jax.cli.main import main

    blocks = re.findall(r"```bash\n(zest .*?)```", README, re.S)
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("#")[0].split("&&")]
    commands = [words for line in lines if (words := line.split())]
    assert len(commands) >= 12
    for words in commands:
        depth = 3 if words[1] in ("reuse", "store", "zoo") else 2
        assert main([*words[1:depth], "--help"]) == 0
        shown = capsys.readouterr().out
        for option in (word for word in words if word.startswith("-")):
            assert option in shown, words


def test_training_and_pruning_run_as_written(monkeypatch, capsys):
    pytest.importorskip("orbax.checkpoint")
    import zest_jax.data
    from tests.making import images

    block = re.search(r"```python\n(from zest_jax.data import load_dataset.*?)```", README, re.S)
    assert block is not None
    # In place of CIFAR-10 and its four epochs: a few images, once.
    monkeypatch.setattr(zest_jax.data, "load_dataset", lambda name, split="train": images(10, classes=8))
    code = re.sub(r'recipe\("[a-z-]+"\)', 'Recipe(epochs=1, batch_size=8, name="short")', block[1])
    code = code.replace("import recipe,", "import Recipe,").replace("num_classes=10", "num_classes=8")
    exec(code, {})
    printed = capsys.readouterr().out
    assert re.match(r"[01]\.\d+ [01]\.\d+ \(LineageStep\(kind='train'.*LineageStep\(kind='prune'", printed), printed


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_named_functions_exist():
    names = re.findall(r"`([a-z_]+)`", README.split("Every phase also stands alone")[1].split("##")[0])
    assert {"choose_references", "from_torch", "load_model"} <= set(names)
    adapters = {"mean", "std", "value_range", "layout"}
    assert all(hasattr(zest, name) for name in set(names) - adapters)
