"""How many inputs a model is asked about at once, and asking about any number of plain inputs."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from zest_jax.blackbox.outputs import in_fixed_batches
from zest_jax.blackbox.protocol import BlackBox, TextSpec, in_plain_scale

# Numbers that a batch of inputs holds by default. Measured in benchmarks/speed/sign.py: on CPU small batches stay in the
# cache, accelerators want many inputs at once.
BATCH_ELEMENTS = {"cpu": 2**18, "gpu": 2**24, "tpu": 2**24}
MIN_BATCH = 16
# Numbers that a batch holds at most where a model says how many inputs it wants: 256 MiB.
LARGEST_WANTED = 2**26
# What a token counts as: an LSTM on 128 tokens is asked about 128 texts at once on CPUs.
TOKEN_ELEMENTS = 16
# Models that take strings hold them on the host, whatever device JAX has.
STRINGS = 256


def default_batch_size(input_shape: tuple[int, ...], boxes: Sequence[BlackBox], n_devices: int = 1) -> int:
    """Choose a batch size from the size of an input, () for a text, the backend, and the sizes that models insist on."""
    fixed = [box.fixed_batch for box in boxes if box.fixed_batch]
    elements = BATCH_ELEMENTS.get(jax.default_backend(), 2**22)
    wanted = elements // math.prod(input_shape) if input_shape else min(_texts(box, elements) for box in boxes)
    said = [box.wanted_batch for box in boxes if box.wanted_batch]
    if said:
        wanted = min(max(said), LARGEST_WANTED // math.prod(input_shape) if input_shape else max(said))
    size = max(MIN_BATCH, 2 ** int(math.log2(max(wanted, 1)))) * n_devices
    if fixed:
        step = math.lcm(*fixed, n_devices)
        size = max(1, size // step) * step
    return size


def ask_plain(box: BlackBox, inputs: np.ndarray, *, batch_size: int | None = None) -> np.ndarray:
    """Ask a model about plain inputs, batch by batch; the last batch is filled up so that one shape is enough.

    Args:
        inputs: images [n, H, W, C], uint8 or float in [0, 1]; sounds [n, samples], int16 or float in [-1, 1]; or texts, an
            array of `str` objects [n].

    Returns:
        outputs [n, classes] float32.

    Raises:
        ModelOutputError: an answer is not one row of scores per input.
    """
    size = min(batch_size or default_batch_size(inputs.shape[1:], [box]), max(len(inputs), 1))

    def ask(part: np.ndarray) -> np.ndarray:
        return box(part if part.dtype == object else in_plain_scale(part))

    return in_fixed_batches(ask, inputs, size, box.label)


def _texts(box: BlackBox, elements: int) -> int:
    """How many texts a model is asked about at once."""
    tokenizer = box.spec.tokenizer if isinstance(box.spec, TextSpec) else None
    return STRINGS if tokenizer is None else elements // (TOKEN_ELEMENTS * tokenizer.length)
