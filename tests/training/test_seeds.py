"""Several seeds at once."""

import dataclasses
import json

import numpy as np
import pytest

from tests.making import LSTM, M5, sounds, texts
from tests.training.test_fit import PLAIN, close_weights, same_weights
from zest_jax.errors import NonFiniteLossError
from zest_jax.training import Recipe, train, train_seeds
from zest_jax.training.checkpoints import epochs_in
from zest_jax.training.run import Run


@pytest.mark.parametrize("together", ["auto", "sequential", "vmap"])
@pytest.mark.parametrize(("config", "data"), [(M5, sounds()), (LSTM, texts())])
def test_each_seed_is_trained_as_if_alone(config, data, together):
    found = train_seeds(config, data, PLAIN, seeds=[3, 4], test=data, together=together)
    for seed, result in zip((3, 4), found, strict=True):
        alone = train(config, data, PLAIN, seed=seed, test=data)
        close_weights(result.checkpoint, alone.checkpoint, atol=1e-4)
        np.testing.assert_allclose(
            [line["loss"] for line in result.history], [line["loss"] for line in alone.history], rtol=1e-4
        )
        assert result.checkpoint.info.seed == seed
        if together != "vmap":  # auto is sequential on a CPU
            assert same_weights(result.checkpoint, alone.checkpoint)
    assert not same_weights(found[0].checkpoint, found[1].checkpoint)


def test_together_an_interruption_changes_nothing(tmp_path, monkeypatch):
    """One seed has saved its second epoch when all are stopped, the other has not."""
    how = dataclasses.replace(PLAIN, epochs=4)
    settings = {"seeds": [0, 1], "save_every": 1, "together": "vmap"}
    whole = train_seeds(M5, sounds(), how, folder=tmp_path / "whole", **settings)
    real, saved = Run.finish_epoch, []

    def finish_epoch(run, metrics, seconds, *, due):
        if saved == [0, 1, 0]:
            raise KeyboardInterrupt
        real(run, metrics, seconds, due=due)
        saved.append(run.seed)

    monkeypatch.setattr(Run, "finish_epoch", finish_epoch)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(M5, sounds(), how, folder=tmp_path / "half", **settings)
    monkeypatch.undo()
    assert [epochs_in(tmp_path / "half" / f"seed-{seed}") for seed in (0, 1)] == [[1, 2], [1]]
    again = train_seeds(M5, sounds(), how, folder=tmp_path / "half", **settings)
    for one, other in zip(whole, again, strict=True):
        assert same_weights(one.checkpoint, other.checkpoint)
    assert same_weights(
        train_seeds(M5, sounds(), how, folder=tmp_path / "half", **settings)[0].checkpoint, again[0].checkpoint
    )


def test_seeds_that_are_at_different_epochs_catch_up(tmp_path):
    train(M5, sounds(), PLAIN, seed=0, folder=tmp_path / "seed-0", save_every=1)
    found = train_seeds(M5, sounds(), PLAIN, seeds=[0, 1], folder=tmp_path, save_every=1, together="vmap")
    expected = train_seeds(M5, sounds(), PLAIN, seeds=[0, 1], together="sequential")
    for one, other in zip(found, expected, strict=True):
        close_weights(one.checkpoint, other.checkpoint, atol=1e-4)
    for seed in (0, 1):
        lines = (tmp_path / f"seed-{seed}" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_a_loss_that_is_no_number_stops_all():
    how = Recipe(epochs=2, batch_size=6, learning_rate=1e30)
    with pytest.raises(NonFiniteLossError, match="the loss of step"):
        train_seeds(M5, sounds(), how, seeds=[0, 1], together="vmap")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, r"`seeds` is \[\]; give at least one, each once"),
        ({"seeds": [1, 1]}, r"`seeds` is \[1, 1\]"),
        ({"seeds": [1], "together": "pmap"}, "`together` is 'pmap'; choose auto, vmap, sequential"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        train_seeds(M5, sounds(), PLAIN, **arguments)
