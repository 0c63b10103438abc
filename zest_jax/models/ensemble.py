"""Several models that vote, as one."""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from zest_jax.models.classifier import Classifier


class Ensemble(Classifier):
    """Average of the probabilities of its members, answered as their logarithm.

    `log((1 / M) sum_m softmax(f_m(x)))`; what SISA training answers with (Bourtoule et al. 2021, section IV). It has no head
    and no features of its own: those are its members'.

    Args:
        members: models of the same inputs and classes, at least one.

    Raises:
        ValueError: there are no members.

    >>> from zest_jax.models import create
    >>> model = create("ensemble", 10, of="resnet20", members=2)
    >>> np.exp(model(np.zeros((1, 32, 32, 3), np.float32))).sum().round(4).item()
    1.0
    """

    order: ClassVar[tuple[str, ...]] = ("members",)

    def __init__(self, members: Sequence[Classifier]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one member")
        self.members = nnx.List(members)

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self.members[0].num_classes

    def features(self, x: Any) -> tuple[Array, ...]:
        raise ValueError("an ensemble has no features of its own; take those of one of its `members`")

    def __call__(self, x: Any) -> Float[Array, "batch classes"]:
        logs = jnp.stack([jax.nn.log_softmax(member(x)) for member in self.members])
        return jax.nn.logsumexp(logs, axis=0) - jnp.log(len(self.members))

    def check_input(self, shape: Sequence[int]) -> None:
        self.members[0].check_input(shape)
