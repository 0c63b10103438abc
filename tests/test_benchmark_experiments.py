"""The shared runner of the paper's figures: pieces measured once, verdicts, the page."""

import dataclasses
import json

import pytest

from benchmarks.paper import every, models
from benchmarks.paper.experiment import Experiment, Options, OutOfTimeError, Pieces, Verdict, run
from benchmarks.paper.page import page
from tests.making import striped

CONFIG = {"settings": {"size": 3}}


@pytest.fixture
def pieces(tmp_path):
    return lambda config=CONFIG, **more: Pieces(
        tmp_path / "fig" / "smoke", tmp_path / "models", "smoke", config, **more
    )


class TestPieces:
    def test_a_piece_is_measured_once(self, pieces):
        seen = []

        def compute():
            seen.append(1)
            return {"value": {1: 0.5}}

        first = pieces().do(compute, what="a", seed=0)
        again = pieces().do(compute, what="a", seed=0)
        assert len(seen) == 1
        assert first == again
        # As it is read back: keys are strings.
        assert first["value"] == {"1": 0.5}
        pieces().do(compute, what="a", seed=1)
        assert len(seen) == 2

    def test_a_line_cut_off_is_measured_again(self, pieces, tmp_path):
        pieces().do(lambda: {"value": 1}, seed=0)
        pieces().do(lambda: {"value": 2}, seed=1)
        file = tmp_path / "fig" / "smoke" / "lines.jsonl"
        file.write_text(file.read_text()[:-5])
        again = pieces()
        assert [line["value"] for line in again.lines] == [1]
        assert again.do(lambda: {"value": 3}, seed=1)["value"] == 3
        assert [line["value"] for line in pieces().lines] == [1, 3]

    def test_other_settings_begin_anew(self, pieces, capsys):
        pieces().do(lambda: {"value": 1}, seed=0)
        assert pieces({"settings": {"size": 4}}).lines == []
        assert "the settings of fig (smoke) have changed" in capsys.readouterr().err
        assert pieces({"settings": {"size": 4}}).lines == []

    def test_time_ends_between_pieces(self, pieces):
        late = pieces(minutes=0)
        with pytest.raises(OutOfTimeError):
            late.do(lambda: {"value": 1}, seed=0)
        pieces().do(lambda: {"value": 1}, seed=0)
        assert pieces(minutes=0).do(lambda: {"value": 2}, seed=0)["value"] == 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    size: int = 3


def experiment(**changes):
    def measure(settings, pieces):
        for i in range(settings.size):
            pieces.do(lambda i=i: {"value": i}, number=i)

    from matplotlib.figure import Figure

    values = {
        "name": "counting",
        "title": "Counting",
        "claim": "It goes up.",
        "paper": "up",
        "settings": {"smoke": Settings(), "small": Settings(size=4)},
        "measure": measure,
        "judge": lambda settings, lines: {"order": Verdict(holds=True, text=f"{len(lines)} values")},
        "draw": lambda settings, lines: {"figure.png": Figure()},
    }
    return Experiment(**(values | changes))


class TestRunning:
    def test_results_are_written_and_told_on_the_page(self, tmp_path, capsys):
        options = Options(preset="small", models=tmp_path / "models", results=tmp_path)
        verdicts = run(experiment(), options)
        assert verdicts is not None
        assert "counting, order: holds: 4 values" in capsys.readouterr().out
        folder = tmp_path / "counting" / "small"
        assert {file.name for file in folder.iterdir()} == {"config.json", "lines.jsonl", "result.json", "figure.png"}
        assert json.loads((folder / "config.json").read_text())["settings"] == {"size": 4}
        text = page([experiment()], tmp_path, tmp_path / "docs")
        assert "| order | holds | 4 values |" in text
        assert "![counting, small](../counting/small/figure.png)" in text

    def test_drawing_again_keeps_the_environment_of_the_measurement(self, tmp_path):
        options = Options(preset="small", models=tmp_path, results=tmp_path)
        run(experiment(), options)
        file = tmp_path / "counting" / "small" / "result.json"
        result = json.loads(file.read_text())
        result["environment"]["device"] = "another"
        file.write_text(json.dumps(result))
        run(experiment(), options)
        assert json.loads(file.read_text())["environment"]["device"] == "another"

    def test_out_of_time_nothing_is_judged(self, tmp_path):
        assert run(experiment(), Options(preset="small", models=tmp_path, results=tmp_path, minutes=0)) is None
        assert not (tmp_path / "counting" / "small" / "result.json").exists()

    def test_what_is_not_measured_is_said(self, tmp_path):
        assert "Not measured yet: `python -m benchmarks.paper.counting --preset small`" in page(
            [experiment()], tmp_path, tmp_path
        )

    def test_unknown_names(self, tmp_path):
        with pytest.raises(ValueError, match="no experiment is called fig99; there are fig2_related, "):
            every.run_all(("fig99",), Options(results=tmp_path))


def test_figures_run_from_training_to_the_page(tmp_path, monkeypatch):
    """Preset smoke of what trains the models that others share, on a few small images."""
    monkeypatch.setattr(
        models,
        "load_dataset",
        lambda name, split="train", limit=None, rate=None: striped(128 if split == "train" else 32, size=16),
    )
    options = Options(preset="smoke", models=tmp_path / "models", results=tmp_path / "results")
    assert every.run_all(("fig2_related",), options)
    result = json.loads((tmp_path / "results" / "fig2_related" / "smoke" / "result.json").read_text())
    assert set(result["verdicts"]) >= {"related below unrelated (cosine)", "grows with k (l2)"}
    lines = (tmp_path / "results" / "fig2_related" / "smoke" / "lines.jsonl").read_text()
    assert every.run_all(("fig2_related",), options)
    assert (tmp_path / "results" / "fig2_related" / "smoke" / "lines.jsonl").read_text() == lines
    assert (tmp_path / "results" / "reproduction.md").read_text().startswith("# The paper, reproduced")
