"""What training minimises: a loss of the model on one batch.

An objective is a frozen dataclass, so that a compiled step is shared by all trainings with equal objectives; arrays that it
needs (another model's weights) are passed as `extras`.
"""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float


class Objective(Protocol):
    """Loss of `model` on prepared inputs [batch, ...] with their targets; also the outputs, to count the right answers.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Half:
    ...     def __call__(self, model, inputs, targets, extras):
    ...         loss, logits = CrossEntropy()(model, inputs, targets, extras)
    ...         return loss / 2, logits
    >>> loss, logits = Half()(lambda inputs: inputs, jnp.zeros((2, 4)), jnp.array([0, 3]), None)
    >>> loss.round(4).item(), logits.shape
    (0.6931, (2, 4))
    """

    def __call__(
        self, model: nnx.Module, inputs: Array, targets: Array, extras: Any
    ) -> tuple[Float[Array, ""], Float[Array, "batch classes"]]: ...

    def __hash__(self) -> int: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Cross-entropy with labels [batch] or with probabilities [batch, classes].

    `-sum_c t_c log softmax(f(x))_c`, where t is `(1 - label_smoothing) onehot + label_smoothing / classes`, or the given
    probabilities as they are (Hinton et al. 2015, temperature 1).

    Attributes:
        label_smoothing: share of the target that is spread over all classes, in [0, 1).

    >>> loss, logits = CrossEntropy()(lambda inputs: inputs, jnp.zeros((2, 4)), jnp.array([0, 3]), None)
    >>> loss.round(4).item()                                                        # log 4
    1.3863
    """

    label_smoothing: float = 0.0

    def __call__(self, model: Any, inputs: Array, targets: Array, extras: Any) -> tuple[Array, Array]:
        logits = model(inputs).astype(jnp.float32)
        return labels_loss(logits, targets, self.label_smoothing), logits


@dataclasses.dataclass(frozen=True)
class MatchLogits:
    """Mean squared error between the model's logits and given ones [batch, classes], each centred over the classes.

    Adding a constant to all logits of an input changes no prediction, so that the mean over the classes is left out.

    >>> wanted = jnp.array([[1.0, 2.0, 3.0]])
    >>> MatchLogits()(lambda inputs: inputs, wanted + 5, wanted, None)[0].item()
    0.0
    """

    def __call__(self, model: Any, inputs: Array, targets: Array, extras: Any) -> tuple[Array, Array]:
        logits = model(inputs).astype(jnp.float32)
        centred = targets - targets.mean(-1, keepdims=True)
        return optax.squared_error(logits - logits.mean(-1, keepdims=True), centred).mean(), logits


def labels_loss(
    logits: Float[Array, "batch classes"], targets: Array, label_smoothing: float = 0.0
) -> Float[Array, ""]:
    """Mean cross-entropy with labels int [batch] or probabilities [batch, classes]; see `CrossEntropy`.

    >>> labels_loss(jnp.zeros((2, 4)), jnp.array([0, 3])).round(4)
    Array(1.3863, dtype=float32)
    """
    wanted = targets
    if targets.ndim == 1:
        wanted = optax.smooth_labels(jax.nn.one_hot(targets, logits.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(logits, wanted).mean()
