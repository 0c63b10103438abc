"""Unlearning: exactly, by subtracting updates, and by shards."""

import dataclasses

import numpy as np
import pytest
from scipy.special import logsumexp

from tests.making import LSTM, M5, sounds, texts
from tests.training.test_fit import same_weights
from zest_jax.data import without_rows
from zest_jax.reuse import train_sisa, unlearn_amnesiac, unlearn_exact, unlearn_sisa
from zest_jax.reuse.sisa import shard_rows
from zest_jax.training import load_checkpoint, recipe, start_checkpoint, train
from zest_jax.training.checkpoints import weights_of

PLAIN = dataclasses.replace(recipe("fine-tune"), epochs=2, batch_size=8)


@pytest.fixture(scope="module")
def victim():
    return start_checkpoint(M5, sounds(), seed=0)


class TestExact:
    def test_it_is_the_model_that_never_saw_the_rows(self, victim):
        result = unlearn_exact(victim, sounds(), [3, 7], PLAIN, seed=1)
        never = train(M5, without_rows(sounds(), [3, 7]), PLAIN, seed=1)
        assert same_weights(result.checkpoint, never.checkpoint)
        (step,) = result.checkpoint.info.lineage
        assert (step.kind, step.parent, step.settings["rows"]) == ("unlearn", victim.fingerprint, [3, 7])

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([24], "out of range"),
            ([-1], "out of range"),
            ([2, 2], "more than once"),
            ([], "no rows are given"),
            (range(24), "all"),
        ],
    )
    def test_rows_that_cannot_be_forgotten_are_refused(self, victim, rows, message):
        with pytest.raises(ValueError, match=message):
            unlearn_exact(victim, sounds(), list(rows), PLAIN, seed=1)


class TestAmnesiac:
    def test_without_any_update_the_first_weights_are_left(self):
        """All batches held a recorded row, so that what is subtracted is all that was learnt."""
        result = train(M5, sounds(), PLAIN, seed=1, record=range(24))
        made = unlearn_amnesiac(result, test=sounds())
        first = weights_of(start_checkpoint(M5, sounds(), seed=1).model)
        learnt, left = weights_of(result.checkpoint.model), weights_of(made.model)
        for name in result.recorded:
            np.testing.assert_allclose(left[name], first[name], atol=1e-6, err_msg=name)
            assert not np.allclose(learnt[name], first[name], atol=1e-4), name
        for name in set(left) - set(result.recorded):
            np.testing.assert_array_equal(left[name], learnt[name], err_msg=name)
        assert [step.kind for step in made.info.lineage] == ["train", "unlearn"]
        assert made.info.lineage[-1].parent == result.checkpoint.fingerprint
        assert 0 <= made.info.accuracy <= 1

    def test_the_folder_of_the_run_will_do(self, tmp_path):
        result = train(M5, sounds(), PLAIN, seed=1, record=[5], folder=tmp_path / "run")
        made = unlearn_amnesiac(tmp_path / "run", folder=tmp_path / "made")
        assert made.fingerprint == unlearn_amnesiac(result).fingerprint
        assert load_checkpoint(tmp_path / "made").fingerprint == made.fingerprint
        for name, update in result.recorded.items():
            np.testing.assert_array_equal(
                weights_of(made.model)[name], weights_of(result.checkpoint.model)[name] - update, err_msg=name
            )

    def test_the_rows_are_those_that_were_recorded(self):
        result = train(M5, sounds(), PLAIN, seed=1, record=[7, 5])
        assert unlearn_amnesiac(result, rows=[5, 7]).info.lineage[-1].settings == {"method": "amnesiac", "rows": [5, 7]}
        with pytest.raises(
            ValueError, match=r"recorded the updates of 2 rows \(5, 7\), and others are to be forgotten"
        ):
            unlearn_amnesiac(result, rows=[5])

    def test_a_training_that_recorded_nothing_is_refused(self, tmp_path):
        result = train(M5, sounds(), PLAIN, seed=1, folder=tmp_path / "run")
        for trained in (result, tmp_path / "run"):
            with pytest.raises(ValueError, match="recorded no updates; train with `record=`"):
                unlearn_amnesiac(trained)


class TestSisa:
    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("sisa") / "ensemble"
        return train_sisa(M5, sounds(48), PLAIN, shards=3, seed=4, folder=folder, test=sounds()), folder

    def test_members_know_their_shard_alone_and_vote(self, whole):
        made, folder = whole
        shards = shard_rows(48, 3, 4)
        assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(48))
        members = [load_checkpoint(folder / f"shard-{k}") for k in range(3)]
        alone = train(M5, sounds(48).take(shards[1]), PLAIN, seed=5)
        assert same_weights(members[1], alone.checkpoint)
        inputs = sounds(seed=9).inputs
        logits = np.stack([member.outputs(inputs) for member in members]).astype(np.float64)
        votes = np.exp(logits - logsumexp(logits, axis=-1, keepdims=True)).mean(0)
        np.testing.assert_allclose(np.exp(made.outputs(inputs)), votes, rtol=1e-4, atol=1e-6)
        assert load_checkpoint(folder).fingerprint == made.fingerprint

    def test_only_the_shards_that_held_the_rows_are_trained_anew(self, whole, tmp_path):
        made, folder = whole
        shards = shard_rows(48, 3, 4)
        rows = shards[2][[0, 5]]
        left = unlearn_sisa(folder, sounds(48), rows, folder=tmp_path / "left", test=sounds())
        before = [load_checkpoint(folder / f"shard-{k}").fingerprint for k in range(3)]
        after = [load_checkpoint(tmp_path / "left" / f"shard-{k}") for k in range(3)]
        assert [member.fingerprint for member in after[:2]] == before[:2]
        assert after[2].fingerprint != before[2]
        never = train(M5, sounds(48).take(np.setdiff1d(shards[2], rows)), PLAIN, seed=6)
        assert same_weights(after[2], never.checkpoint)
        assert left.info.lineage[-1].parent == made.fingerprint
        assert left.info.lineage[-1].settings["forgotten"] == sorted(rows.tolist())

    def test_what_was_forgotten_before_stays_forgotten(self, whole, tmp_path):
        _, folder = whole
        shards = shard_rows(48, 3, 4)
        unlearn_sisa(folder, sounds(48), shards[0][:1], folder=tmp_path / "once")
        again = unlearn_sisa(tmp_path / "once", sounds(48), shards[0][1:2], folder=tmp_path / "twice")
        assert again.info.lineage[-1].settings["forgotten"] == sorted(shards[0][:2].tolist())
        never = train(M5, sounds(48).take(shards[0][2:]), PLAIN, seed=4)
        assert same_weights(load_checkpoint(tmp_path / "twice" / "shard-0"), never.checkpoint)

    def test_what_it_cannot_do_is_refused(self, whole, tmp_path):
        _, folder = whole
        with pytest.raises(ValueError, match="other data than tones"):
            unlearn_sisa(folder, sounds(48, seed=1), [0], folder=tmp_path / "other")
        with pytest.raises(ValueError, match="out of range"):
            unlearn_sisa(folder, sounds(48), [48], folder=tmp_path / "other")
        with pytest.raises(ValueError, match=r"all rows of shard 0 are to be forgotten"):
            unlearn_sisa(folder, sounds(48), shard_rows(48, 3, 4)[0], folder=tmp_path / "other")
        train(M5, sounds(), PLAIN, seed=1, folder=tmp_path / "plain")
        with pytest.raises(ValueError, match="was not trained by `train_sisa`"):
            unlearn_sisa(tmp_path / "plain", sounds(), [0], folder=tmp_path / "other")
        assert not (tmp_path / "other").exists()

    def test_texts_and_other_classes_are_refused_before_training(self, tmp_path):
        with pytest.raises(ValueError, match="shards of texts would each number the words anew"):
            train_sisa(LSTM, texts(), PLAIN, shards=2, seed=0, folder=tmp_path / "sisa")
        few = sounds().take(np.flatnonzero(sounds().labels < 2))
        test = dataclasses.replace(few, class_names=("low", "middle"))
        with pytest.raises(ValueError, match="has 2 classes and the model 3"):
            train_sisa(M5, sounds(), PLAIN, shards=2, seed=0, folder=tmp_path / "sisa", test=test)
        assert not (tmp_path / "sisa").exists()

    @pytest.mark.parametrize("shards", [1, 25])
    def test_numbers_of_shards_that_make_no_sense_are_refused(self, tmp_path, shards):
        with pytest.raises(ValueError, match=f"`shards` is {shards}; give 2 to 24"):
            train_sisa(M5, sounds(), PLAIN, shards=shards, seed=0, folder=tmp_path / "sisa")
