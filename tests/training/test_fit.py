"""What a training does to a model: against PyTorch, and with each of its options."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from tests.making import LSTM, M5, RESNET20, images, sounds, striped, texts
from tests.models.carrying import carry
from tests.models.torch_twins import TwinCifarResNet, TwinM5
from zest_jax.data import Augment, stream
from zest_jax.errors import NonFiniteLossError
from zest_jax.models import ModelConfig
from zest_jax.training import LineageStep, Recipe, fit, start_checkpoint, train
from zest_jax.training.checkpoints import fingerprint, weights_of
from zest_jax.training.engine import Preparation, TrainData, TrainState, train_steps
from zest_jax.training.feeding import ResidentFeed
from zest_jax.training.run import Run

PLAIN = Recipe(name="plain", epochs=2, batch_size=6, learning_rate=0.05, weight_decay=1e-3)
BRISK = Recipe(name="brisk", epochs=8, batch_size=6, optimizer="adamw", learning_rate=0.02)
STEP = LineageStep(kind="train")


def same_weights(a, b):
    return fingerprint(weights_of(a.model)) == fingerprint(weights_of(b.model))


def close_weights(a, b, atol):
    a, b = weights_of(a.model), weights_of(b.model)
    for name, value in a.items():
        np.testing.assert_allclose(value, b[name], atol=atol, err_msg=name)


class TestAgainstPyTorch:
    """The same weights, batches and settings give the same weights after an epoch or two."""

    @pytest.mark.parametrize("case", ["m5", "resnet20"])
    def test_a_training(self, case):
        torch.manual_seed(0)
        if case == "m5":
            config, data, twin = M5, sounds(), TwinM5(3, (4, 4, 4, 4))
            inputs = data.inputs.astype(np.float32) / 32768
        else:
            config, data, twin = RESNET20, striped(12), TwinCifarResNet(20, 3)
            inputs = (data.inputs / 255 - data.mean) / data.std
            inputs = inputs.transpose(0, 3, 1, 2).astype(np.float32)
        how = dataclasses.replace(PLAIN, epochs=2 if case == "m5" else 1)
        start = start_checkpoint(config, data, seed=0)
        carry(twin, start.model)
        losses = self.in_torch(twin, inputs, data.labels, how)
        result = fit(start, data, how, seed=3, step=STEP)
        found = [line["loss"] for line in result.history]
        np.testing.assert_allclose(found, losses, rtol=1e-4)
        wanted = start_checkpoint(config, data, seed=1)
        carry(twin, wanted.model)
        ours, theirs = weights_of(result.checkpoint.model), weights_of(wanted.model)
        for name, value in ours.items():
            if not name.endswith(".var"):  # PyTorch's is unbiased
                np.testing.assert_allclose(value, theirs[name], atol=2e-4, err_msg=name)

    @staticmethod
    def in_torch(twin, inputs, labels, how):
        optimizer = torch.optim.SGD(twin.parameters(), how.learning_rate, how.momentum, weight_decay=how.weight_decay)
        source = ResidentFeed(inputs, labels, batch_size=how.batch_size, seed=3, steps_per_chunk=None)
        x, y, losses = torch.tensor(inputs), torch.tensor(labels).long(), []
        twin.train()
        for epoch in range(how.epochs):
            found = []
            for rows in source.rows(epoch):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(twin(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                found.append(float(loss))
            losses.append(np.mean(found))
        return losses


class TestLearning:
    """Models of every modality learn what there is to learn."""

    def test_sounds(self):
        result = train(M5, sounds(), BRISK, seed=0, test=sounds(seed=1))
        assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
        assert result.checkpoint.info.accuracy > 0.9

    def test_texts(self):
        result = train(LSTM, texts(96), BRISK, seed=0, test=texts(seed=1))
        assert result.checkpoint.info.accuracy > 0.9
        info = result.checkpoint.info
        assert info.class_names == ("sport", "business", "science")
        answers = result.checkpoint.outputs(np.array(["the goal of the market", "a planet"], object))
        assert answers.shape == (2, 3)

    def test_images_that_grow_and_are_augmented(self):
        how = dataclasses.replace(
            BRISK,
            batch_size=12,
            learning_rate=0.003,
            # The size changes in the middle of an epoch.
            progressive=((0.45, 0.5),),
            augment=Augment(crop_padding=1),
            label_smoothing=0.1,
        )
        data = striped(96, size=8)
        result = train(RESNET20, data, how, seed=0, test=striped(24, size=8, seed=1))
        assert result.history[-1]["loss"] < result.history[0]["loss"]
        assert result.checkpoint.info.accuracy > 0.6
        assert result.checkpoint.info.input_shape == (8, 8, 3)


class TestRecord:
    """What is known about a model afterwards."""

    def test_info_and_history(self):
        data = sounds()
        result = train(M5, data, PLAIN, seed=5, test=sounds(seed=1))
        info = result.checkpoint.info
        assert (info.dataset, info.data_hash, info.seed, info.epoch) == ("tones", data.content_hash, 5, 2)
        assert Recipe.from_json(info.recipe) == PLAIN
        (step,) = info.lineage
        assert (step.kind, step.parent) == ("train", None)
        wanted = {"seed": 5, "dataset": "tones", "data_hash": data.content_hash, "recipe": PLAIN.to_json()}
        assert step.settings == wanted
        assert [line["epoch"] for line in result.history] == [1, 2]
        assert [line["step"] for line in result.history] == [4, 8]
        assert result.history[-1]["test_accuracy"] == info.accuracy
        assert "test_accuracy" not in result.history[0]
        assert result.history[0]["learning_rate"] == pytest.approx(0.05)
        outputs = result.checkpoint.outputs(sounds(seed=1).inputs)
        assert info.accuracy == (outputs.argmax(-1) == sounds(seed=1).labels).mean()

    def test_without_test_data_there_is_no_accuracy(self):
        assert train(M5, sounds(), PLAIN, seed=0).checkpoint.info.accuracy is None

    def test_the_start_stays_and_the_seed_decides(self):
        data = sounds()
        start = start_checkpoint(M5, data, seed=0)
        before = fingerprint(weights_of(start.model))
        one, again, other = (fit(start, data, PLAIN, seed=seed, step=STEP).checkpoint for seed in (1, 1, 2))
        assert fingerprint(weights_of(start.model)) == before
        assert same_weights(one, again)
        assert not same_weights(one, other)

    def test_dropout_is_off_in_the_result(self):
        result = train(LSTM, texts(), PLAIN, seed=0).checkpoint
        inputs = texts().inputs
        np.testing.assert_array_equal(result.outputs(inputs), result.outputs(inputs))


class TestOptions:
    def test_only_named_parameters_are_trained(self):
        data = sounds()
        start = start_checkpoint(M5, data, seed=0)
        chosen = ["convolutions.3.conv.kernel", "head.kernel"]
        before = weights_of(start.model)
        assert set(chosen) < set(before)
        after = weights_of(fit(start, data, PLAIN, seed=0, step=STEP, trained=chosen).checkpoint.model)
        changed = {name for name in before if not np.array_equal(before[name], after[name])}
        assert changed == set(chosen)

    def test_a_mask_holds_weights(self):
        data = sounds()
        start = start_checkpoint(M5, data, seed=0)
        name = "convolutions.1.conv.kernel"
        before = weights_of(start.model)[name]
        mask = (np.arange(before.size).reshape(before.shape) % 2).astype(np.float32)
        after = weights_of(fit(start, data, PLAIN, seed=0, step=STEP, mask={name: mask}).checkpoint.model)[name]
        np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
        assert np.all(after[mask == 1] != before[mask == 1])

    def test_recorded_updates_add_up(self):
        """One row of each batch: together they hold every update; a row that was left out holds none."""
        data = sounds(14)
        how = dataclasses.replace(PLAIN, epochs=1)
        start = start_checkpoint(M5, data, seed=0)
        order = ResidentFeed(data.inputs, data.labels, batch_size=6, seed=0, steps_per_chunk=None).rows(0)
        one, other = (fit(start, data, how, seed=0, step=STEP, record=[int(rows[2])]) for rows in order)
        both = fit(start, data, how, seed=0, step=STEP, record=[int(order[0, 0]), int(order[1, 5])])
        (unused, *_) = set(range(14)) - set(order.ravel().tolist())
        none = fit(start, data, how, seed=0, step=STEP, record=[unused])
        before, after = weights_of(start.model), weights_of(both.checkpoint.model)
        for name, total in both.recorded.items():
            np.testing.assert_allclose(total, after[name] - before[name], atol=1e-6, err_msg=name)
            np.testing.assert_allclose(one.recorded[name] + other.recorded[name], total, atol=1e-6)
            assert np.any(one.recorded[name])
            assert not np.array_equal(one.recorded[name], other.recorded[name])
            assert not np.any(none.recorded[name])
        assert set(both.recorded) == {".".join(map(str, path)) for path in start.model.depth_order()}
        assert same_weights(none.checkpoint, both.checkpoint)

    def test_rows_recorded_together_are_in_one_batch_of_each_epoch(self):
        data, rows = sounds(), [3, 8, 9, 14, 20, 23]
        how = dataclasses.replace(PLAIN, epochs=2, batch_size=6)
        start = start_checkpoint(M5, data, seed=0)
        spread, together = (
            fit(start, data, how, seed=0, step=STEP, record=rows, record_together=apart) for apart in (False, True)
        )

        def size(result):
            return np.sqrt(sum((update**2).sum() for update in result.recorded.values()))

        assert 0 < size(together) < size(spread)
        assert "recorded_together" not in spread.checkpoint.info.lineage[-1].settings
        assert together.checkpoint.info.lineage[-1].settings["recorded_together"]

    def test_targets_replace_the_labels(self):
        data = sounds()
        shifted = (data.labels + 1) % 3
        result = train(M5, dataclasses.replace(data, labels=shifted), BRISK, seed=0)
        start = start_checkpoint(M5, data, seed=0)
        again = fit(start, data, BRISK, seed=0, step=STEP, targets=shifted)
        assert same_weights(result.checkpoint, again.checkpoint)
        assert (again.checkpoint.outputs(data.inputs).argmax(-1) == shifted).mean() > 0.9

    def test_bfloat16_computes_and_float32_is_kept(self):
        how = dataclasses.replace(PLAIN, learning_rate=0.001)
        half, full = (train(M5, sounds(), dataclasses.replace(how, dtype=d), seed=0) for d in ("bfloat16", "float32"))
        assert {array.dtype for array in weights_of(half.checkpoint.model).values()} == {np.dtype(np.float32)}
        assert not same_weights(half.checkpoint, full.checkpoint)
        losses = [[line["loss"] for line in result.history] for result in (half, full)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=0.05)

    def test_eight_devices_do_what_one_does(self):
        how = dataclasses.replace(PLAIN, batch_size=8)
        one, eight = (train(M5, sounds(), how, seed=0, devices=jax.devices()[:n]) for n in (1, 8))
        close_weights(one.checkpoint, eight.checkpoint, atol=2e-5)
        with pytest.raises(ValueError, match="a batch of 6 cannot be shared out over 8 devices"):
            train(M5, sounds(), PLAIN, seed=0, devices=jax.devices()[:8])

    def test_devices_really_share_a_batch(self):
        how = dataclasses.replace(PLAIN, batch_size=8)
        data = sounds()
        run = Run(
            start_checkpoint(M5, data, seed=0),
            data,
            how,
            seed=0,
            step=STEP,
            devices=jax.devices()[:8],
        )
        rows = jax.device_put(next(run.feed.chunks(0))[1], run.rows_sharding)
        assert {shard.data.shape for shard in rows.addressable_shards} == {(1, 1)}
        assert len(run.state.step.sharding.device_set) == 8


class TestStreams:
    @pytest.fixture
    def folder(self, tmp_path):
        data = striped(24)
        for i, (picture, label) in enumerate(zip(data.inputs, data.labels, strict=True)):
            place = tmp_path / "pictures" / "abc"[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(place / f"{i}.png")
        return tmp_path / "pictures"

    def test_a_stream_trains_and_goes_on_where_it_was(self, folder, tmp_path, monkeypatch):
        def run(name):
            images = stream(folder, 6, seed=0, size=8)
            place = tmp_path / name
            return train(RESNET20, images, PLAIN, seed=0, folder=place, save_every=1, test=striped(12)).checkpoint

        whole = run("whole")
        assert whole.info.class_names == ("a", "b", "c")
        stop_after(monkeypatch, 6)
        with pytest.raises(KeyboardInterrupt):
            run("broken")
        monkeypatch.undo()
        assert same_weights(run("broken"), whole)

    def test_what_needs_rows_is_refused(self, folder):
        images = stream(folder, 6, seed=0, size=8)
        with pytest.raises(ValueError, match="a stream has no rows to give targets to or to record"):
            train(RESNET20, images, PLAIN, seed=0, record=[0])
        with pytest.raises(ValueError, match="pictures has 3 classes and resnet20 was asked for 4"):
            train(dataclasses.replace(RESNET20, num_classes=4), images, PLAIN, seed=0)


def stop_after(monkeypatch, steps):
    """Interrupt the training after so many steps."""
    import zest_jax.training.loop as loop

    done = []

    def counting(*arguments):
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(1)
        return train_steps(*arguments)

    monkeypatch.setattr(loop, "train_steps", counting)


def test_many_steps_in_one_call_are_the_steps_one_by_one():
    """On accelerators an epoch is one `lax.scan`; on CPUs each step is a call."""
    data = sounds()
    run = Run(
        start_checkpoint(M5, data, seed=0),
        data,
        PLAIN,
        seed=0,
        step=STEP,
    )
    assert isinstance(run.feed, ResidentFeed)
    plan, rows = run.plan(), run.feed.rows(0)
    ((source, _), *_) = run.feed.chunks(0)

    def copy():
        return jax.tree.map(jnp.copy, run.state)

    scanned, metrics = train_steps(plan, copy(), source, rows, run.key)
    state, losses = copy(), []
    for batch in rows:
        state, found = train_steps(plan, state, source, batch[None], run.key)
        losses.append(float(found.loss[0]))
    np.testing.assert_allclose(metrics.loss, losses, rtol=1e-5)
    assert int(scanned.step) == int(state.step) == len(rows)
    for one, other in zip(jax.tree.leaves(scanned), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert isinstance(scanned, TrainState)
    assert isinstance(source, TrainData)


@pytest.mark.parametrize(
    ("stored", "mean", "std", "wanted"),
    [
        (np.array([0, 51, 255], np.uint8), (), (), [0, 0.2, 1]),
        (np.array([0, 51, 255], np.uint8), (0.2,), (0.5,), [-0.4, 0, 1.6]),
        (np.array([-32768, 0, 16384], np.int16), (), (), [-1, 0, 0.5]),
        (np.array([0.5], np.float32), (0.5,), (1.0,), [0]),
        (np.array([7, 0], np.int32), (), (), [7, 0]),
    ],
)
def test_preparation_of_stored_inputs(stored, mean, std, wanted):
    found = Preparation(mean, std)(jnp.asarray(stored))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert found.dtype == (np.int32 if stored.dtype == np.int32 else np.float32)


class TestBadInput:
    def test_a_loss_that_is_no_number_names_its_step(self, tmp_path):
        how = dataclasses.replace(PLAIN, learning_rate=1e30)
        with pytest.raises(
            NonFiniteLossError, match=r"the loss of step [2-4] \(epoch 1 of 2\) is (nan|inf); lower the"
        ):
            train(M5, sounds(), how, seed=0)

    def test_it_says_which_checkpoint_is_whole(self, tmp_path):
        how = dataclasses.replace(PLAIN, epochs=3, schedule="steps", milestones=(1,), factor=1e35)
        with pytest.raises(NonFiniteLossError, match=r"\(epoch 2 of 3\).*; the checkpoint of epoch 1 in .* is whole"):
            train(M5, sounds(), how, seed=0, folder=tmp_path / "run", save_every=1)

    @pytest.mark.parametrize(
        ("config", "data", "message"),
        [
            (M5, sounds(4), "the data set has 4 inputs, fewer than a batch of 6"),
            (
                dataclasses.replace(M5, num_classes=5),
                sounds(),
                "tones has 3 classes and m5 was asked for 5; give as many",
            ),
            (M5, sounds(samples=60), r"an input has shape \(60,\); m5 takes raw audio"),
            (M5, images(), r"an input has shape \(8, 8, 3\); m5 takes raw audio"),
            (M5, texts(), "sentences holds texts, and m5 takes none; choose lstm"),
            (RESNET20, sounds(), r"shape \(512,\)"),
            (ModelConfig(name="resnet20", num_classes=3, options={"in_channels": 1}), images(), "3 channels"),
        ],
    )
    def test_data_that_do_not_fit(self, config, data, message):
        with pytest.raises(ValueError, match=message):
            train(config, data, PLAIN, seed=0)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"trained": ["head.weight"]}, "`trained` names head.weight; the parameters are convolutions.0"),
            ({"trained": []}, "`trained` is empty"),
            ({"mask": {"head.weight": np.ones(1)}}, "`mask` names head.weight"),
            (
                {"mask": {"head.kernel": np.ones((1, 2))}},
                r"the mask of head.kernel has shape \(1, 2\), and the parameter",
            ),
            ({"record": [24]}, "24"),
            ({"record": [0, 0]}, "more than once"),
            ({"record_together": True}, "`record_together` is set, and no rows are recorded; give `record`"),
            ({"targets": [0]}, "there are 1 targets for 24 inputs of tones"),
        ],
    )
    def test_options_that_do_not_fit(self, options, message):
        data = sounds()
        with pytest.raises(ValueError, match=message):
            fit(start_checkpoint(M5, data, seed=0), data, PLAIN, seed=0, step=STEP, **options)
