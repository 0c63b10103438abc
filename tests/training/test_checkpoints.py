"""Checkpoints as files."""

import dataclasses
import json

import numpy as np
import pytest

from tests.making import LSTM, M5, images, sounds, texts, untrained
from zest_jax.errors import FileFormatError
from zest_jax.models import create
from zest_jax.reuse import add_noise
from zest_jax.training import (
    CheckpointInfo,
    DamagedCheckpointError,
    FolderInUseError,
    LineageStep,
    load_checkpoint,
    run_folder,
    save_checkpoint,
    start_checkpoint,
)
from zest_jax.training.checkpoints import FOLDER, epochs_in, fingerprint, load_training, set_weights, weights_of
from zest_jax.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A checkpoint on disk; treat as read-only."""
    made = start_checkpoint(M5, sounds(), seed=0)
    step = LineageStep(kind="noise", parent="0123", settings={"scale": 0.1})
    info = dataclasses.replace(made.info, lineage=(step,), accuracy=0.5, epoch=3, seed=1)
    return save_checkpoint(tmp_path_factory.mktemp("stored") / "m5", dataclasses.replace(made, info=info))


def test_what_is_written_is_read(stored):
    for path in (stored.path, stored.path.parents[1], str(stored.path)):
        found = load_checkpoint(path)
        assert found.info == stored.info
        assert found.fingerprint == stored.fingerprint
        assert found.path == stored.path
        np.testing.assert_array_equal(found.outputs(sounds().inputs), stored.outputs(sounds().inputs))


def test_info_survives_json(stored):
    assert CheckpointInfo.from_json(json.loads(json.dumps(stored.info.to_json()))) == stored.info


def test_tokenizers_travel_along(tmp_path):
    made = save_checkpoint(tmp_path / "lstm", start_checkpoint(LSTM, texts(), seed=0))
    np.testing.assert_array_equal(
        load_checkpoint(tmp_path / "lstm").outputs(texts().inputs), made.outputs(texts().inputs)
    )


def test_normalisation_travels_along():
    start = untrained()
    data = images()
    shifted = dataclasses.replace(start, info=dataclasses.replace(start.info, mean=(0.0,) * 3, std=(1.0,) * 3))
    assert start.info.mean == data.mean
    assert not np.allclose(start.outputs(data.inputs), shifted.outputs(data.inputs))


def test_the_same_epoch_is_replaced(tmp_path):
    one, two = (start_checkpoint(M5, sounds(), seed=seed) for seed in (0, 1))
    save_checkpoint(tmp_path / "m", one)
    save_checkpoint(tmp_path / "m", two)
    assert epochs_in(tmp_path / "m") == [0]
    assert load_checkpoint(tmp_path / "m").fingerprint == two.fingerprint


def test_weights_of_another_architecture_are_listed_both_ways(stored):
    with pytest.raises(FileFormatError, match="do not fit ResNet|do not fit CifarResNet") as caught:
        load_checkpoint(stored.path, model=create("resnet20", 3))
    text = str(caught.value)
    assert "convolutions.0" in text
    assert "stages.0" in text or "blocks" in text
    assert str(stored.path) in text


def test_weights_of_another_size_are_listed(stored):
    wider = create("m5", 5, widths=(4, 4, 4, 4))
    with pytest.raises(FileFormatError, match=r"head.bias.*\(3,\).*\(5,\)"):
        load_checkpoint(stored.path, model=wider)


def test_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in .*; give the folder of a run"):
        load_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path / "nowhere")


def test_names_and_numbers_make_the_fingerprint():
    weights = {"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float32)}
    base = fingerprint(weights)
    changed = [
        {**weights, "a": np.array([0, 0, 1e-30], np.float32)},
        {"a": weights["a"], "c": weights["b"]},
        {**weights, "a": np.zeros(3, np.float64)},
        {**weights, "b": np.ones(4, np.float32)},
    ]
    assert base == fingerprint(dict(reversed(weights.items())))
    assert len({base, *map(fingerprint, changed)}) == 5


def test_weights_by_name_go_into_another_model():
    one, two = create("m5", 3, widths=(4, 4, 4, 4), seed=0), create("m5", 3, widths=(4, 4, 4, 4), seed=1)
    assert fingerprint(weights_of(one)) != fingerprint(weights_of(two))
    set_weights(two, weights_of(one), origin="a test")
    assert fingerprint(weights_of(one)) == fingerprint(weights_of(two))


class TestReplacing:
    """A checkpoint of an epoch that is there already."""

    @pytest.fixture
    def run(self, tmp_path):
        run = RunFolder(tmp_path / "run")
        yield run
        run.close()

    def test_what_was_there_stays_when_writing_fails(self, run, tmp_path, monkeypatch):
        first, second = (start_checkpoint(M5, sounds(), seed=seed) for seed in (0, 1))
        run.save(first)

        def full(*arguments, **settings):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(run._manager, "save", full)
        with pytest.raises(
            OSError, match=r"could not be written .*No space left.*; that of epoch 0 is whole; make room"
        ):
            run.save(second)
        assert load_checkpoint(tmp_path / "run").fingerprint == first.fingerprint

    def test_what_was_there_comes_back_after_a_kill(self, run, tmp_path):
        first = run.save(start_checkpoint(M5, sounds(), seed=0))
        run.close()
        (tmp_path / "run" / FOLDER / "0").rename(tmp_path / "run" / ".replaced-0")
        RunFolder(tmp_path / "run").close()
        assert load_checkpoint(tmp_path / "run").fingerprint == first.fingerprint
        assert not list((tmp_path / "run").glob(".replaced*"))


class TestFolders:
    """Nothing is written over something else."""

    def test_a_model_does_not_replace_the_one_it_is_made_from(self, tmp_path):
        victim = save_checkpoint(tmp_path / "victim", start_checkpoint(M5, sounds(), seed=0))
        with pytest.raises(ValueError, match=r"victim holds another model: `lineage` is \[\] there and .*noise"):
            add_noise(victim, scale=0.1, seed=0, folder=tmp_path / "victim")
        assert load_checkpoint(tmp_path / "victim").fingerprint == victim.fingerprint
        once = add_noise(victim, scale=0.1, seed=0, folder=tmp_path / "noisy")
        again = add_noise(victim, scale=0.1, seed=0, folder=tmp_path / "noisy")
        assert once.fingerprint == again.fingerprint
        with pytest.raises(ValueError, match="noisy holds another model"):
            add_noise(victim, scale=0.2, seed=0, folder=tmp_path / "noisy")

    def test_two_processes_do_not_write_into_one(self, tmp_path, monkeypatch):
        monkeypatch.setattr(run_folder, "_PATIENCE", 0.1)
        run = RunFolder(tmp_path / "run")
        with pytest.raises(FolderInUseError, match="another process works in .*run; wait until it is done"):
            RunFolder(tmp_path / "run")
        run.close()
        RunFolder(tmp_path / "run").close()


def test_a_changed_state_of_the_training_is_noticed(tmp_path):
    run = RunFolder(tmp_path / "run")
    saved = run.save(start_checkpoint(M5, sounds(), seed=0), {"momentum": np.arange(4.0)})
    run.close()
    np.testing.assert_array_equal(load_training(saved.path)["momentum"], np.arange(4.0))
    for path in (saved.path / "training").rglob("*"):
        if path.is_file() and b"momentum" in path.read_bytes():
            path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpointError, match="the state of the training in .* (cannot be read|is damaged)"):
        load_training(saved.path)
