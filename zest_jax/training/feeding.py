"""Training data on its way to the device: whole sets that stay there, or batches read as they are needed."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zest_jax.data.datasets import Dataset, dataset_names, known_dataset
from zest_jax.data.streaming import Stream
from zest_jax.training.engine import TrainData

# Photographs in general, for streams of sets that are not known by name (ImageNet's).
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What a model needs to know of its training data.

    Attributes:
        name: of the data set.
        data_hash: SHA-256 of inputs and labels; of a stream, of what identifies it (its images are never all read).
        n: inputs in it.
        input_shape: of one stored input; () for texts.
        mean, std: normalisation.
        class_names: one per class.
    """

    name: str
    data_hash: str
    n: int
    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    rate: int | None = None


def describe(data: Dataset | Stream) -> Description:
    """Gather what a checkpoint keeps of a data set."""
    if isinstance(data, Dataset):
        return Description(
            name=data.name,
            data_hash=data.content_hash,
            n=len(data),
            input_shape=data.input_shape,
            mean=data.mean,
            std=data.std,
            class_names=data.class_names,
            rate=data.rate,
        )
    identity = {name: value for name, value in data.state().items() if name != "step"}
    known = known_dataset(data.name) if data.name in dataset_names() else None
    channels = len(known.mean) if known else 3
    return Description(
        name=data.name,
        data_hash=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        n=data.n,
        input_shape=(*data.size, channels),
        mean=known.mean if known else _MEAN,
        std=known.std if known else _STD,
        class_names=data.class_names,
    )


class Feed(Protocol):
    """Steps of an epoch, some at a time: the data they draw from, and the rows [steps, batch] of each."""

    steps_per_epoch: int

    def chunks(self, epoch: int) -> Iterator[tuple[TrainData, np.ndarray]]: ...


class ResidentFeed:
    """A data set that lies on the device as a whole; each epoch draws its rows in an order of its own.

    Args:
        inputs: as stored; token ids for texts.
        targets: labels int32 [N] or rows float32 [N, classes].
        batch_size: rows per step; those that do not fill a batch are left out, other ones in each epoch.
        seed: decides the order of every epoch.
        steps_per_chunk: steps in one call; None: the whole epoch.
        sharding: where the data go; None: the default device.
        record: whether the updates of batches with this row are recorded, bool [N], or None.
        together: recorded rows fill batches of their own, in every epoch; other rows fill up the last of these.

    Raises:
        ValueError: there are fewer inputs than a batch.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        steps_per_chunk: int | None,
        sharding: Any = None,
        record: np.ndarray | None = None,
        together: bool = False,
        mask: Any = None,
        extras: Any = None,
    ) -> None:
        if len(inputs) < batch_size:
            raise ValueError(
                f"the data set has {len(inputs)} inputs, fewer than a batch of {batch_size}; lower the batch size"
            )
        self.steps_per_epoch = len(inputs) // batch_size
        self._shape = (self.steps_per_epoch, batch_size)
        self._spread = ~record if together and record is not None else None
        self._n, self._seed, self._per_chunk = len(inputs), seed, steps_per_chunk or self.steps_per_epoch
        self.data = TrainData(*jax.device_put((inputs, targets, record, mask, extras), sharding))

    def rows(self, epoch: int) -> np.ndarray:
        """Rows of each step of an epoch, int32 [steps, batch]."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(self._n)
        if self._spread is not None:
            order = order[np.argsort(self._spread[order], kind="stable")]
        rows = order[: self._shape[0] * self._shape[1]].reshape(self._shape).astype(np.int32)
        return rows if self._spread is None else rng.permutation(rows)

    def chunks(self, epoch: int) -> Iterator[tuple[TrainData, np.ndarray]]:
        rows = self.rows(epoch)
        for start in range(0, len(rows), self._per_chunk):
            yield self.data, rows[start : start + self._per_chunk]


class StreamFeed:
    """Batches of a stream, one step each."""

    def __init__(self, stream: Stream, *, mask: Any = None, extras: Any = None) -> None:
        self.steps_per_epoch = stream.steps_per_epoch
        self._stream, self._mask, self._extras = stream, mask, extras

    def chunks(self, epoch: int) -> Iterator[tuple[TrainData, np.ndarray]]:
        self._stream.restore({**self._stream.state(), "step": epoch * self.steps_per_epoch})
        try:
            for _ in range(self.steps_per_epoch):
                batch = next(self._stream)
                data = TrainData(jnp.asarray(batch.images), jnp.asarray(batch.labels), None, self._mask, self._extras)
                yield data, np.arange(len(batch.labels), dtype=np.int32)[None]
        finally:
            self._stream.close()


def shardings(devices: Sequence[jax.Device] | None, batch_size: int) -> tuple[Any, Any]:
    """Where states and data (everywhere) and rows (shared out) go."""
    if devices is None:
        devices = jax.local_devices()
        if jax.default_backend() == "cpu" or batch_size % len(devices):
            devices = devices[:1]
    elif batch_size % len(devices):
        raise ValueError(f"a batch of {batch_size} cannot be shared out over {len(devices)} devices; choose a multiple")
    if len(devices) == 1:
        return None, None
    mesh = Mesh(np.array(devices), ("data",))
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, "data"))
