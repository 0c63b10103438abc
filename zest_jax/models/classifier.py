"""What all models have in common."""

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from flax import nnx
from jaxtyping import Array, Float

from zest_jax.models.layers import depth_order, linear_head, pooled

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound="Classifier")


class Classifier(nnx.Module):
    """Base of the models: `model(x)` gives logits, float32 [batch, num_classes].

    A model is created in evaluation mode; `model.train()` and `model.eval()` switch batch normalisation and dropout.
    Weights are `nnx.Param`, running statistics `nnx.BatchStat`, both float32 whatever the model computes in.

    Attributes:
        head: the last layer, float32.
        order: names of the parts that hold parameters, from input to output.

    >>> from zest_jax.models import create
    >>> model, sounds = create("m5", 3, widths=(4, 4, 4, 4)), np.zeros((2, 512), np.float32)
    >>> isinstance(model, Classifier), model.num_classes, model(sounds).shape, len(model.features(sounds))
    (True, 3, (2, 3), 4)
    """

    order: ClassVar[tuple[str, ...]]
    head: nnx.Linear

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self.head.out_features

    def features(self, x: Any) -> tuple[Array, ...]:
        """Outputs of the four stages [batch, ..., channels], from input to output, in the type that the model computes in."""
        raise NotImplementedError

    def classify(self, features: tuple[Array, ...]) -> Float[Array, "batch classes"]:
        """Logits from what `features` returned, so that one pass gives both."""
        return self.head(pooled(features[-1]))

    def __call__(self, x: Any) -> Float[Array, "batch classes"]:
        return self.classify(self.features(x))

    def check_input(self, shape: Sequence[int]) -> None:
        """Refuse inputs that the model cannot take.

        Args:
            shape: of one input, without the batch.

        Raises:
            ValueError: says what the model takes.
        """
        raise NotImplementedError

    def depth_order(self) -> list[Path]:
        """Paths of the parameters, as in `nnx.to_flat_state(nnx.state(model, nnx.Param))`, from input to output.

        Every parameter appears once; those of the head come last.
        """
        return depth_order(self)


def with_head(model: Model, num_classes: int, *, seed: int = 0) -> Model:
    """Copy a model and give the copy a fresh head.

    The copy has the mode (training or evaluation) of `model`, and shares no variables with it.

    Args:
        model: is left as it is.
        num_classes: of the new head, at least 2.
        seed: of the new weights: uniform within 1 / sqrt(inputs); the bias is 0.

    Returns:
        the copy.

    Raises:
        ValueError: `num_classes` is below 2, or the model has no head (an ensemble).

    >>> from zest_jax.models import create
    >>> model = create("resnet20", 10)
    >>> with_head(model, 5)(np.zeros((2, 32, 32, 3), np.float32)).shape, model.num_classes
    ((2, 5), 10)
    """
    if not hasattr(model, "head"):
        raise ValueError(f"{type(model).__name__} has no head to replace; take one of its members")
    copy = nnx.clone(model)
    copy.head = linear_head(model.head.in_features, num_classes, nnx.Rngs(seed))
    return copy
