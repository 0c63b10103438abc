"""Checkpoints as files."""

import dataclasses
import json

import numpy as np
import pytest

from tests.making import LSTM, M5, images, sounds, texts, untrained
from zest_jax.errors import FileFormatError
from zest_jax.models import create
from zest_jax.training import CheckpointInfo, LineageStep, load_checkpoint, save_checkpoint, start_checkpoint
from zest_jax.training.checkpoints import epochs_in, fingerprint, set_weights, weights_of


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
