"""The shared runner of the paper's figures: pieces measured once, verdicts, the page."""

import dataclasses
import functools
import json
import multiprocessing
import os
import shutil
import tempfile
import time

import pytest

import zest_jax as zest
from benchmarks.paper import every, fig6_unlearning, models, reuse_zoo
from benchmarks.paper.experiment import Experiment, Options, OutOfTimeError, Pieces, Verdict, run
from benchmarks.paper.page import page, whole_time
from benchmarks.record import ROOT
from tests.making import sounds, striped, texts
from zest_jax.cli.main import main

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

    def test_what_was_measured_stays_where_versions_change_and_the_result_does_not(self, pieces, capsys, tmp_path):
        pieces().do(lambda: {"value": 1}, seed=0)
        pieces().do(lambda: {"value": 2}, seed=1)
        result = tmp_path / "fig" / "smoke" / "result.json"
        result.touch()
        assert len(pieces().lines) == 2
        assert result.exists()
        raised = CONFIG | {"versions": {"a": 2}}
        again = pieces(raised)
        assert not result.exists()
        assert capsys.readouterr().err == ""
        again.keep(lambda line: line["seed"] == 1)
        assert again.found == 1
        result.touch()
        assert [line["value"] for line in pieces(raised).lines] == [2]
        assert result.exists()

    def test_what_was_measured_stays_where_settings_only_grow(self, pieces, capsys, tmp_path):
        def settings(budgets, size=3):
            return {"settings": {"budgets": budgets, "size": size}}

        pieces(settings([1, 2])).do(lambda: {"value": 1}, budget=1)
        (tmp_path / "fig" / "smoke" / "result.json").write_text("{}")
        grown = pieces(settings([1, 2, 3]), grows=("budgets",))
        assert [line["budget"] for line in grown.lines] == [1]
        assert not (tmp_path / "fig" / "smoke" / "result.json").exists()
        assert [line["budget"] for line in pieces(settings([1, 2, 3])).lines] == [1]
        assert "anew" not in capsys.readouterr().err
        for other in (settings([2, 3]), settings([1, 2, 3, 4], size=4)):
            assert pieces(other, grows=("budgets",)).lines == []
            pieces(settings([1, 2, 3])).do(lambda: {"value": 1}, budget=1)

    def test_results_of_other_settings_go(self, pieces, tmp_path):
        pieces()
        (tmp_path / "fig" / "smoke" / "result.json").write_text("{}")
        pieces()
        assert (tmp_path / "fig" / "smoke" / "result.json").exists()
        pieces({"settings": {"size": 4}})
        assert not (tmp_path / "fig" / "smoke" / "result.json").exists()

    def test_lines_of_other_models_are_forgotten(self, pieces, capsys):
        first = pieces()
        first.measured_on(["aa"], of="base")
        first.do(lambda: {"value": 1}, what="a", seed=(0, 1))
        again = pieces()
        again.measured_on(["aa"], of="base")
        assert again.do(lambda: {"value": 2}, what="a", seed=(0, 1))["value"] == 1
        again.measured_on(["bb"], of="base")
        assert "was measured on other models" in capsys.readouterr().err
        assert again.do(lambda: {"value": 3}, what="a", seed=(0, 1))["value"] == 3

    def test_with_the_lines_of_other_models_goes_what_was_made_of_them(self, pieces, tmp_path):
        first = pieces()
        first.measured_on(["aa"], of="base")
        for name in ("result.json", "runs.jsonl"):
            (tmp_path / "fig" / "smoke" / name).write_text("{}")
        pieces().measured_on(["aa"], of="base")
        assert (tmp_path / "fig" / "smoke" / "result.json").exists()
        again = pieces()
        again.measured_on(["bb"], of="base")
        assert {file.name for file in (tmp_path / "fig" / "smoke").iterdir()} == {"config.json", "lines.jsonl"}
        assert again.found == 0

    def test_what_is_no_number_is_refused(self, pieces):
        with pytest.raises(ValueError, match="Out of range float"):
            pieces().do(lambda: {"value": float("nan")}, what="a")

    def test_time_ends_between_pieces(self, pieces):
        late = pieces(until=0)
        with pytest.raises(OutOfTimeError):
            late.do(lambda: {"value": 1}, seed=0)
        pieces().do(lambda: {"value": 1}, seed=0)
        assert pieces(until=0).do(lambda: {"value": 2}, seed=0)["value"] == 1


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
        "criterion": "four values are there.",
        "sizes": lambda settings: {"values": str(settings.size)},
        "captions": {"figure.png": "Nothing."},
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
        assert {file.name for file in folder.iterdir()} == {
            *("config.json", "lines.jsonl", "result.json", "runs.jsonl", "figure.png")
        }
        assert json.loads((folder / "config.json").read_text())["settings"] == {"size": 4}
        text = page([experiment()], tmp_path, tmp_path / "docs")
        assert "| order | holds | 4 values |" in text
        assert "![Counting. Nothing.](../counting/small/figure.png)\n\n*Nothing.*" in text
        assert "Criterion: four values are there." in text
        assert "|  | `small` |\n| --- | --- |\n| values | 4 |" in text
        assert "(`zest paper counting --preset small`; 0 minutes by the clock" in text

    def test_what_cannot_be_told_is_not_said_to_hold(self, tmp_path, capsys):
        found = {"noise": Verdict(holds=None, text="0.1 +- 0.2"), "wrong": Verdict(holds=False, text="0.1")}
        one = experiment(judge=lambda settings, lines: found)
        run(one, Options(preset="small", models=tmp_path, results=tmp_path))
        assert "counting, noise: CAN'T BE TOLD: 0.1 +- 0.2" in capsys.readouterr().out
        text = page([one], tmp_path, tmp_path)
        assert "| noise | **can't be told** | 0.1 +- 0.2 |" in text
        assert "| wrong | **does not hold** | 0.1 |" in text

    def test_what_is_measured_to_its_end_needs_no_models(self, tmp_path):
        def measure(settings, pieces):
            measured.append(settings)
            experiment().measure(settings, pieces)

        measured = []
        options = Options(preset="small", models=tmp_path, results=tmp_path)
        run(experiment(measure=measure), options)
        run(experiment(measure=measure), options)
        assert len(measured) == 1
        run(experiment(measure=measure), dataclasses.replace(options, anew=True))
        assert len(measured) == 2
        (line,) = map(json.loads, (tmp_path / "counting" / "small" / "runs.jsonl").read_text().splitlines())
        assert (line["pieces_before"], line["pieces"]) == (0, 4)

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

    def test_how_long_all_runs_took_is_told_once_all_began_from_nothing(self, tmp_path):
        def one(name):
            return experiment(name=name)

        options = Options(preset="small", models=tmp_path, results=tmp_path)
        run(one("counting"), options)
        run(one("again"), options)
        # Nothing is left to measure: no run.
        run(one("counting"), options)
        assert whole_time([one("counting")], tmp_path, "small").startswith(
            "The sections of `small` took 0.0 minutes by the clock"
        )
        file = tmp_path / "again" / "small" / "runs.jsonl"
        (line,) = map(json.loads, file.read_text().splitlines())
        assert (line["pieces_before"], line["pieces"], line["finished"]) == (0, 4, True)
        later = [line | {"seconds": 80.0}, line | {"pieces_before": 4, "seconds": 100.0}]
        file.write_text("".join(json.dumps(one) + "\n" for one in later))
        told = whole_time([one("counting"), one("again")], tmp_path, "small")
        assert "took 3.0 minutes by the clock" in told
        assert told in page([one("counting"), one("again")], tmp_path, tmp_path)
        assert "at once" not in told
        file.write_text("".join(json.dumps(one | {"processes": 2}) + "\n" for one in later))
        text = page([one("counting"), one("again")], tmp_path, tmp_path)
        assert "added up over their runs, with the trainings, of `again` up to 2 at once." in text
        assert "(`zest paper again --preset small --processes 2`;" in text
        assert "(`zest paper counting --preset small`;" in text
        # One that did not begin from nothing; a run between two that was not noted; one that is not finished.
        for lines in (
            [line | {"pieces_before": 2}],
            [line | {"pieces": 2}, line | {"pieces_before": 3, "pieces": 1}],
            [line | {"finished": False}],
        ):
            file.write_text("".join(json.dumps(one) + "\n" for one in lines))
            assert whole_time([one("counting"), one("again")], tmp_path, "small") == ""

    def test_a_run_that_fails_is_timed_as_not_finished(self, tmp_path):
        def measure(settings, pieces):
            pieces.do(lambda: {"value": 1}, i=0)
            raise RuntimeError("no space left")

        with pytest.raises(RuntimeError, match="no space left"):
            run(experiment(measure=measure), Options(preset="small", models=tmp_path, results=tmp_path))
        assert not json.loads((tmp_path / "counting" / "small" / "runs.jsonl").read_text())["finished"]

    def test_what_is_not_measured_is_said(self, tmp_path):
        assert "Not measured yet: `zest paper counting --preset small`" in page([experiment()], tmp_path, tmp_path)

    def test_unknown_names(self, tmp_path):
        with pytest.raises(ValueError, match="no experiment is called fig99; there are fig2_related, "):
            every.run_all(("fig99",), Options(results=tmp_path))


CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def data_of(name, split="train", limit=None, rate=None):
    """Small data in place of CIFAR-10, Debian's texts and spoken words."""
    n = 128 if split == "train" else 32
    if name == "debian_sections":
        return texts(n)
    if name == "espeak_commands":
        return dataclasses.replace(sounds(n, samples=2000), rate=rate)
    return dataclasses.replace(striped(n, size=16, classes=10), class_names=CIFAR10)


def test_figures_run_from_training_to_the_page(tmp_path, monkeypatch, capsys):
    """Preset smoke of all figures, on data that need no download."""
    monkeypatch.setattr(models, "load_dataset", data_of)
    monkeypatch.setattr(reuse_zoo, "load_dataset", data_of)
    options = Options(preset="smoke", models=tmp_path / "models", results=tmp_path / "results")
    assert every.run_all((), options)
    for experiment in every.EXPERIMENTS:
        folder = tmp_path / "results" / experiment.name / "smoke"
        result = json.loads((folder / "result.json").read_text())
        assert result["verdicts"]
        assert all((folder / figure).stat().st_size > 1000 for figure in result["figures"])
    page_file = tmp_path / "results" / "reproduction.md"
    assert page_file.read_text().startswith("# The paper, reproduced")
    page_file.unlink()
    monkeypatch.chdir(ROOT)

    def zest_paper(*names):
        folders = ["--models", str(options.models), "--results", str(options.results)]
        return main(["paper", *names, "--preset", "smoke", *folders])

    file = tmp_path / "results" / "fig2_related" / "smoke" / "lines.jsonl"
    lines = file.read_text()
    assert zest_paper("fig2_related") == 0
    assert page_file.exists()
    assert file.read_text() == lines
    assert zest_paper("fig99") == 2
    assert zest_paper("all", "fig99") == 2
    assert zest_paper("fig2_related", "--minutes", "inf") == 2
    assert zest_paper("fig2_related", "--processes", "0") == 2
    assert zest_paper("fig2_related", "--anew", "--minutes", "0") == 1
    assert not file.exists()
    captured = capsys.readouterr()
    assert "no experiment is called fig99; there are fig2_related" in captured.err
    assert "`--minutes` is inf; give a number from 0" in captured.err
    assert "`--processes` is 0; give at least 1" in captured.err
    assert "time is over before everything was measured; the same command goes on where it was" in captured.err


def test_a_folder_that_cannot_be_written_is_told_with_its_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / "file").touch()
    blocked = str(tmp_path / "file" / "below")
    results = str(tmp_path / "results")
    assert main(["paper", "fig2_related", "--preset", "smoke", "--results", blocked]) == 2
    told = capsys.readouterr().err
    assert "file/below" in told
    assert "name another folder for results with --results" in told
    assert main(["paper", "fig2_related", "--preset", "smoke", "--results", results, "--models", blocked]) == 2
    told = capsys.readouterr().err
    assert "file/below" in told
    assert "name another folder for models with --models" in told

    def denied(**kwargs):
        raise PermissionError(13, "Permission denied", str(kwargs["dir"]))

    # As where the folder is there and is not the user's.
    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    assert main(["paper", "fig2_related", "--preset", "smoke", "--results", results]) == 1
    assert "name another folder for results with --results" in capsys.readouterr().err


def test_signatures_are_those_of_the_weights(tmp_path, monkeypatch):
    """A model trained anew under the same name is signed anew."""
    monkeypatch.setattr(models, "load_dataset", data_of)
    training = models.base("smoke")
    short = dataclasses.replace(training, recipe=training.recipe.lasting(1), seeds=(0,))
    probes = zest.image_probes(data_of("cifar10").inputs, 2, 60)
    found = []
    for seed in (0, 1):
        pieces = Pieces(tmp_path / f"fig{seed}" / "smoke", tmp_path / "models", "smoke", CONFIG)
        again = dataclasses.replace(short, recipe=dataclasses.replace(short.recipe, learning_rate=0.01 * (1 + seed)))
        again.train(pieces, data_of("cifar10"))
        found.append(again.signatures(pieces, probes, [(0, 1)])[0, 1])
        shutil.rmtree(again.folder(pieces, 0))
    assert zest.distance(*found) > 1e-6


def folders_made(tmp_path):
    """Trainings that only make the folder which they would leave."""
    folder = tmp_path / "models"
    folder.mkdir(exist_ok=True)
    return {folder / name: functools.partial(os.mkdir, folder / name) for name in ("a", "b", "c")}


class TestTrainingsAtOnce:
    def test_each_is_done_in_a_process_of_its_own(self, pieces, tmp_path, capsys):
        found = folders_made(tmp_path)
        pieces(processes=2).train_ahead(found)
        assert all(folder.is_dir() for folder in found)
        assert {log.name for log in (tmp_path / "models" / "logs").iterdir()} == {"a.log", "b.log", "c.log"}
        assert "fig: 3 trainings, 2 at once" in capsys.readouterr().err

    def test_one_process_does_nothing_ahead(self, pieces, tmp_path):
        pieces().train_ahead(folders_made(tmp_path))
        assert not (tmp_path / "models" / "a").exists()

    def test_what_is_there_is_not_done_again(self, pieces, tmp_path, capsys):
        (tmp_path / "models" / "b").mkdir(parents=True)
        pieces(processes=3).train_ahead(folders_made(tmp_path))
        assert "fig: 2 trainings, 2 at once" in capsys.readouterr().err
        pieces(processes=3).train_ahead(folders_made(tmp_path))
        assert capsys.readouterr().err == ""

    def test_what_goes_wrong_ends_the_others(self, pieces, tmp_path):
        slow = {tmp_path / "models" / "slow": functools.partial(time.sleep, 600)}
        wrong = tmp_path / "models" / "nowhere" / "wrong"
        began = time.monotonic()
        with pytest.raises(FileNotFoundError, match="nowhere") as raised:
            pieces(processes=2).train_ahead(slow | {wrong: functools.partial(os.mkdir, wrong)})
        # It did not wait for the other.
        assert time.monotonic() - began < 500
        assert not multiprocessing.active_children()
        assert raised.value.__notes__ == [
            f"{tmp_path / 'models' / 'logs' / 'nowhere-wrong.log'} has what was told before"
        ]

    def test_seeds_are_trained_and_found(self, pieces, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(models, "load_dataset", data_of)
        base = models.base("smoke")
        training = dataclasses.replace(base, recipe=base.recipe.lasting(1))
        found = pieces(processes=2)
        training.train(found, data_of("cifar10"))
        logs = sorted((tmp_path / "models" / "logs").glob("*.log"))
        home = training.folder(found, 0).parent.name
        assert [log.name for log in logs] == [f"{home}-seed-{seed}-checkpoints-1.log" for seed in (0, 1)]
        assert all("train resnet8" in log.read_text() for log in logs)
        # This process has trained none.
        assert "train resnet8" not in capsys.readouterr().err
        (line,) = (line for line in found.lines if line["what"] == "accuracy")
        assert len(line["accuracy"]) == 2

    def test_none_begins_when_time_is_over(self, pieces, tmp_path):
        with pytest.raises(OutOfTimeError):
            pieces(processes=2, until=0.0).train_ahead(folders_made(tmp_path))
        assert not (tmp_path / "models" / "a").exists()

    def test_they_end_when_time_is_over(self, pieces, tmp_path):
        """And go on when they are called again; this one has saved something before it is stopped."""
        saved, done = tmp_path / "saved", tmp_path / "models" / "a"
        training = (
            "import pathlib, time\n"
            f"saved, done = pathlib.Path({str(saved)!r}), pathlib.Path({str(done)!r})\n"
            "if not saved.exists():\n"
            "    saved.touch()\n"
            "    time.sleep(600)\n"
            "done.mkdir()\n"
        )
        slow = {done: functools.partial(exec, training)}
        began = time.monotonic()
        with pytest.raises(OutOfTimeError):
            # As long as a process takes to begin, and longer.
            pieces(processes=2, until=began + 25).train_ahead(slow)
        assert time.monotonic() - began < 500
        assert not multiprocessing.active_children()
        assert saved.exists()
        assert not done.exists()
        pieces(processes=2, until=time.monotonic() + 3600).train_ahead(slow)
        assert done.exists()

    def test_other_settings_have_other_folders(self, pieces):
        training, found = models.base("smoke"), pieces()
        longer = dataclasses.replace(training, recipe=training.recipe.lasting(9))
        more = dataclasses.replace(training, seeds=(0, 1, 2))
        assert longer.folder(found, 0) != training.folder(found, 0)
        assert more.folder(found, 0) == training.folder(found, 0)

    def test_a_training_s_own_timeout_is_an_error(self, pieces, tmp_path):
        wrong = {
            tmp_path / "models" / name: functools.partial(exec, "raise TimeoutError('no answer')")
            for name in ("a", "b")
        }
        with pytest.raises(TimeoutError, match="no answer"):
            pieces(processes=2, until=time.monotonic() + 3600).train_ahead(wrong)

    def test_there_is_at_least_one(self):
        with pytest.raises(ValueError, match="`processes` is 0; give at least 1"):
            Options(processes=0)

    @pytest.mark.parametrize("minutes", [float("nan"), float("inf"), -1.0])
    def test_minutes_are_a_number(self, minutes):
        with pytest.raises(ValueError, match=f"`minutes` is {minutes}; give a number from 0"):
            Options(minutes=minutes)


@pytest.mark.parametrize("preset", ["smoke", "paper"])
def test_unlearning_has_the_models_of_the_other_figures(preset):
    settings = fig6_unlearning.EXPERIMENT.settings[preset]
    assert settings.training == models.base(preset)
    data = data_of("cifar10")
    rows = fig6_unlearning.forgotten(settings, data)
    assert {seed: settings.training.recorded(data, seed) for seed in settings.training.seeds} == rows
    assert settings.forgotten == settings.training.forgets
