"""Trainings that are interrupted, killed or damaged, and go on."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import zest_jax.training.run as run_module
from tests.making import LSTM, M5, sounds, texts
from tests.training.test_fit import BRISK, PLAIN, same_weights, stop_after
from zest_jax.errors import FileFormatError
from zest_jax.training import load_checkpoint, train
from zest_jax.training.checkpoints import FOLDER, epochs_in

FOUR = dataclasses.replace(PLAIN, epochs=4)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of four epochs that nothing disturbed; treat as read-only."""
    return train(
        M5, sounds(), FOUR, seed=0, folder=tmp_path_factory.mktemp("whole") / "run", save_every=1, test=sounds()
    )


@pytest.fixture
def half(whole, tmp_path, monkeypatch):
    """The folder of the same training, interrupted in its third epoch."""
    stop_after(monkeypatch, 10)
    with pytest.raises(KeyboardInterrupt):
        train(M5, sounds(), FOUR, seed=0, folder=tmp_path / "half", save_every=1, test=sounds())
    monkeypatch.undo()
    assert epochs_in(tmp_path / "half") == [1, 2]
    return tmp_path / "half"


def go_on(folder, **changes):
    settings = {"seed": 0, "save_every": 1, "test": sounds(), **changes}
    return train(
        settings.pop("config", M5),
        settings.pop("data", sounds()),
        settings.pop("recipe", FOUR),
        folder=folder,
        **settings,
    )


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_speed(history):
    return [{name: value for name, value in line.items() if name != "inputs_per_second"} for line in history]


def test_an_interrupted_training_ends_with_the_same_weights(whole, half):
    result = go_on(half)
    assert same_weights(result.checkpoint, whole.checkpoint)
    assert result.checkpoint.info == whole.checkpoint.info
    assert without_speed(result.history) == without_speed(whole.history)
    assert without_speed(lines(half)) == without_speed(whole.history)


@pytest.mark.parametrize("steps", [1, 4, 7, 15])
def test_dropout_and_recorded_updates_go_on_too(tmp_path, monkeypatch, steps):
    def run(folder):
        return train(LSTM, texts(), FOUR, seed=1, folder=folder, save_every=1, record=[3, 4])

    expected = run(None)
    stop_after(monkeypatch, steps)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    result = run(tmp_path)
    assert same_weights(result.checkpoint, expected.checkpoint)
    for name, total in expected.recorded.items():
        np.testing.assert_array_equal(result.recorded[name], total)


PROGRAM = """
import sys
from tests.making import M5, sounds
from tests.training.test_resume import LONG
from zest_jax.training import train
train(M5, sounds(), LONG, seed=0, folder=sys.argv[1], save_every=5)
"""
LONG = dataclasses.replace(BRISK, epochs=60)


def test_a_killed_process_leaves_what_a_new_one_goes_on_from(tmp_path):
    expected = train(M5, sounds(), LONG, seed=0)
    killed = 0
    for wanted in (1, 20):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "run")], cwd=ROOT, stderr=subprocess.PIPE
        )
        ends = time.monotonic() + 120
        while process.poll() is None and (epochs_in(tmp_path / "run") or [0])[-1] < wanted:
            assert time.monotonic() < ends, "no checkpoint came"
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        stderr = process.communicate()[1].decode()
        assert process.returncode in (0, -signal.SIGKILL), stderr
    assert killed
    result = train(M5, sounds(), LONG, seed=0, folder=tmp_path / "run", save_every=5)
    assert same_weights(result.checkpoint, expected.checkpoint)
    assert [line["epoch"] for line in lines(tmp_path / "run")] == list(range(1, 61))


def test_a_finished_training_is_read_and_not_done_again(whole, monkeypatch):
    stop_after(monkeypatch, 0)
    result = go_on(whole.checkpoint.path.parents[1])
    assert same_weights(result.checkpoint, whole.checkpoint)
    assert result.checkpoint.info == whole.checkpoint.info
    assert result.checkpoint.path == whole.checkpoint.path


def test_checkpoints_that_stay(tmp_path):
    how = dataclasses.replace(PLAIN, epochs=7)
    train(M5, sounds(), how, seed=0, folder=tmp_path / "some", save_every=2, test=sounds())
    assert epochs_in(tmp_path / "some") == [2, 4, 6, 7]
    assert [line["epoch"] for line in lines(tmp_path / "some") if "test_accuracy" in line] == [2, 4, 6, 7]
    train(M5, sounds(), how, seed=0, folder=tmp_path / "last")
    assert epochs_in(tmp_path / "last") == [7]


def test_long_epochs_are_saved_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "SAVE_AFTER", 0.0)
    train(M5, sounds(), FOUR, seed=0, folder=tmp_path)
    assert epochs_in(tmp_path) == [3, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "`seed` is 0 there and 1 here"),
        ({"recipe": dataclasses.replace(FOUR, learning_rate=0.04)}, r"`recipe\.[a-z_]+` is .* there and .* here"),
        ({"data": sounds(seed=3)}, "`data_hash` is"),
        ({"record": [1]}, "`record` is null there"),
        ({"config": dataclasses.replace(M5, options={"widths": (4, 4, 4, 8)})}, r"`model\.options\.widths` is"),
    ],
)
def test_the_folder_of_another_training_is_refused(half, changes, message):
    before = sorted(half.rglob("*"))
    with pytest.raises(ValueError, match=rf"holds another model: .*{message}.*; choose another folder, or remove it"):
        go_on(half, **changes)
    assert sorted(half.rglob("*")) == before


def test_checkpoints_of_unknown_origin_are_refused(half):
    (half / "run.json").unlink()
    with pytest.raises(ValueError, match="holds checkpoints of unknown origin"):
        go_on(half)
    (half / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json cannot be read .*; choose another folder"):
        go_on(half)


def damage(folder, epoch):
    """Cut the largest file of the model short."""
    files = [path for path in (folder / FOLDER / str(epoch) / "model").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def alter(folder, epoch):
    """Change a byte in the largest file of the model."""
    files = [path for path in (folder / FOLDER / str(epoch) / "model").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [damage, alter])
def test_a_damaged_checkpoint_falls_back_on_the_one_before(whole, half, harm):
    harm(half, 2)
    with pytest.warns(UserWarning, match="2 is damaged .*; going on from the checkpoint of epoch 1"):
        result = go_on(half)
    assert same_weights(result.checkpoint, whole.checkpoint)
    assert without_speed(lines(half)) == without_speed(whole.history)


def test_the_state_of_the_training_counts_as_well(whole, half):
    shutil.rmtree(half / FOLDER / "2" / "training")
    with pytest.warns(
        UserWarning, match="the state of the training in .*2 cannot be read.*going on from the checkpoint of epoch 1"
    ):
        assert same_weights(go_on(half).checkpoint, whole.checkpoint)


def test_a_partly_deleted_checkpoint_counts_as_damaged(whole, half):
    shutil.rmtree(half / FOLDER / "2" / "info")
    with pytest.warns(UserWarning, match="2 is damaged.*going on from the checkpoint of epoch 1"):
        assert same_weights(go_on(half).checkpoint, whole.checkpoint)


def test_other_scales_or_names_are_another_training(half):
    for changes in ({"mean": (0.5,)}, {"class_names": ("middle", "low", "high")}):
        with pytest.raises(ValueError, match=f"holds another model: `{next(iter(changes))}` is"):
            go_on(half, data=dataclasses.replace(sounds(), **changes), test=None)


def test_when_all_checkpoints_are_damaged_the_training_starts_again(whole, half):
    damage(half, 1)
    damage(half, 2)
    with pytest.warns(UserWarning, match="going on from the start"):
        assert same_weights(go_on(half).checkpoint, whole.checkpoint)
    assert len(lines(half)) == 4


def test_half_written_checkpoints_are_not_counted(whole, half):
    shutil.copytree(half / FOLDER / "2", half / FOLDER / "3.orbax-checkpoint-tmp-17")
    assert epochs_in(half) == [1, 2]
    assert same_weights(go_on(half).checkpoint, whole.checkpoint)


def test_reading_takes_the_last_whole_checkpoint_and_says_so(half):
    damage(half, 2)
    with pytest.warns(UserWarning, match="2 is damaged .*; taking the checkpoint of epoch 1"):
        assert load_checkpoint(half).info.epoch == 1
    with pytest.raises(FileFormatError, match="2 is damaged"):
        load_checkpoint(half / FOLDER / "2")
    damage(half, 1)
    with pytest.raises(FileFormatError, match="no checkpoint of .* can be read: .*2 is damaged.*1 is damaged"):
        load_checkpoint(half)


NO_ROOM = """
import resource, sys
from pathlib import Path
from tests.training.test_resume import go_on
folder = Path(sys.argv[1])
limit = (folder / "metrics.jsonl").stat().st_size + 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
go_on(folder)
"""


def test_a_full_disk_leaves_the_last_whole_checkpoint(whole, half):
    """No file may grow beyond a few hundred bytes, so that writing the next checkpoint fails in its middle.

    In a process of its own: Orbax leaves writes in flight when one of them fails, and their ends are reported to nobody.
    """
    process = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(half)], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 1
    assert re.search(
        r"OSError: the checkpoint of epoch 3 could not be written .*that of epoch 2 is whole; make room", process.stderr
    ), process.stderr
    assert epochs_in(half) == [1, 2]
    assert load_checkpoint(half).info.epoch == 2
    assert same_weights(go_on(half).checkpoint, whole.checkpoint)
