"""The rows of every step, and what is known of the data."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.making import images, texts
from zest_jax.training.feeding import ResidentFeed, describe


def feed(n=10, batch_size=3, seed=0, per_chunk=None):
    data = images(n)
    return ResidentFeed(data.inputs, data.labels, batch_size=batch_size, seed=seed, steps_per_chunk=per_chunk)


def test_an_epoch_draws_rows_without_repetition_and_leaves_the_rest_out():
    rows = feed().rows(0)
    assert rows.shape == (3, 3)
    assert len(np.unique(rows)) == 9
    assert 0 <= rows.min() <= rows.max() < 10


def test_the_order_belongs_to_seed_and_epoch():
    orders = {(seed, epoch): feed(seed=seed).rows(epoch).tobytes() for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert feed(seed=2).rows(1).tobytes() == orders[2, 1]


def test_all_rows_are_drawn_in_the_long_run():
    source = feed()
    assert {int(row) for epoch in range(20) for row in source.rows(epoch).ravel()} == set(range(10))


def test_recorded_rows_fill_batches_of_their_own():
    data = images(14)
    record = np.isin(np.arange(14), [1, 4, 6, 9])
    source = ResidentFeed(
        data.inputs, data.labels, batch_size=3, seed=0, steps_per_chunk=None, record=record, together=True
    )
    places = set()
    for epoch in range(30):
        rows = source.rows(epoch)
        assert len(np.unique(rows)) == 12
        assert sorted(record[rows].sum(1)) == [0, 0, 1, 3]
        assert rows.tobytes() == source.rows(epoch).tobytes()
        places.add(int(record[rows].sum(1).argmax()))
    assert places == {0, 1, 2, 3}
    assert {int(row) for epoch in range(30) for row in source.rows(epoch).ravel()} == set(range(14))


@pytest.mark.parametrize(("per_chunk", "sizes"), [(None, [3]), (1, [1, 1, 1]), (2, [2, 1])])
def test_chunks_are_the_same_steps(per_chunk, sizes):
    chunks = list(feed(per_chunk=per_chunk).chunks(4))
    assert [len(rows) for _, rows in chunks] == sizes
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in chunks]), feed().rows(4))


def test_data_stay_on_the_device_as_they_are_stored():
    ((data, _),) = feed().chunks(0)
    assert isinstance(data.inputs, jax.Array)
    assert data.inputs.dtype == np.uint8
    assert (data.record, data.mask, data.extras) == (None, None, None)


def test_too_few_inputs_for_a_batch():
    with pytest.raises(ValueError, match="the data set has 2 inputs, fewer than a batch of 3; lower the batch size"):
        feed(2)


def test_descriptions_belong_to_the_content():
    data = images()
    described = describe(data)
    assert (described.n, described.input_shape, described.class_names) == (24, (8, 8, 3), ("a", "b", "c"))
    assert describe(images(seed=1)).data_hash != described.data_hash
    assert describe(dataclasses.replace(data, labels=data.labels[::-1].copy())).data_hash != described.data_hash
    assert describe(images(name="other")).data_hash == described.data_hash
    assert describe(texts()).input_shape == ()
