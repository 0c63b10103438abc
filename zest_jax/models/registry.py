"""Models by name."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from zest_jax.models.cifar_resnet import CifarResNet
from zest_jax.models.classifier import Classifier
from zest_jax.models.ensemble import Ensemble
from zest_jax.models.lstm import LSTMClassifier
from zest_jax.models.m5 import M5
from zest_jax.models.mobilenet import MobileNetV2
from zest_jax.models.resnet import ResNet


@dataclasses.dataclass(frozen=True)
class _Entry:
    build: Callable[..., Classifier]
    options: tuple[str, ...]


def _ensemble(
    num_classes: int, *, of: str, members: int, dtype: str = "float32", rngs: nnx.Rngs, **options: Any
) -> Ensemble:
    build = _MODELS[of].build
    return Ensemble([build(num_classes, dtype=dtype, rngs=nnx.Rngs(rngs.params()), **options) for _ in range(members)])


_IMAGES = ("in_channels",)
_MODELS: dict[str, _Entry] = {
    **{
        f"resnet{depth}": _Entry(functools.partial(CifarResNet, depth=depth), ("width", *_IMAGES))
        for depth in (8, 20, 32, 44, 56)
    },
    **{
        f"resnet{depth}": _Entry(functools.partial(ResNet, depth=depth), ("stem", "width", *_IMAGES))
        for depth in (18, 50)
    },
    "mobilenet_v2": _Entry(MobileNetV2, ("width", "stem", "dropout", *_IMAGES)),
    "lstm": _Entry(LSTMClassifier, ("vocabulary", "embedding", "hidden", "dropout")),
    "m5": _Entry(M5, ("widths",)),
    "ensemble": _Entry(_ensemble, ("of", "members")),
}


def model_names() -> tuple[str, ...]:
    """Names that `create` knows.

    Returns:
        the names.

    >>> model_names()[:8]
    ('resnet8', 'resnet20', 'resnet32', 'resnet44', 'resnet56', 'resnet18', 'resnet50', 'mobilenet_v2')
    """
    return tuple(_MODELS)


def create(name: str, num_classes: int, *, seed: int = 0, dtype: str = "float32", **options: Any) -> Classifier:
    """Create a model with random weights, in evaluation mode.

    | name | model | options |
    |---|---|---|
    | resnet8, 20, 32, 44, 56 | `CifarResNet` | width, in_channels |
    | resnet18, resnet50 | `ResNet` | stem ("imagenet" or "cifar"), width, in_channels |
    | mobilenet_v2 | `MobileNetV2` | width, stem, dropout, in_channels |
    | lstm | `LSTMClassifier` | vocabulary, embedding, hidden, dropout |
    | m5 | `M5` | widths |
    | ensemble | `Ensemble` | of (name of the members' model), members (how many), and those of the members |

    Args:
        name: one of `model_names()`.
        num_classes: at least 2.
        seed: of the weights; may be traced, as when several models are made under `jax.vmap`.
        dtype: the type to compute in, "float32" or "bfloat16"; weights, statistics and head are float32 always.
        options: of that model.

    Raises:
        ValueError: unknown name or option (the known ones are listed), or an option out of its range.

    >>> model = create("resnet18", 100, seed=1, stem="cifar")
    >>> model(np.zeros((2, 32, 32, 3), np.float32)).shape
    (2, 100)
    """
    check_options(name, options)
    return _MODELS[name].build(num_classes, dtype=dtype, rngs=nnx.Rngs(jax.random.key(seed)), **options)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse unknown names and options, listing the known ones.

    >>> check_options("resnet20", {"stem": "cifar"})
    Traceback (most recent call last):
    ValueError: resnet20 has no option 'stem'; its options are width, in_channels
    >>> check_options("resnet19", {})
    Traceback (most recent call last):
    ValueError: no model is named 'resnet19'; choose resnet8, resnet20, resnet32, resnet44, resnet56, ...
    """
    if name not in _MODELS:
        raise ValueError(f"no model is named {name!r}; choose {', '.join(_MODELS)}")
    if name == "ensemble":
        if not {"of", "members"} <= options.keys() or options["of"] == "ensemble":
            raise ValueError(
                "an ensemble needs the options `of`, the name of its members' model, and `members`, how many"
            )
        check_options(options["of"], {option: options[option] for option in options if option not in ("of", "members")})
        return
    known = _MODELS[name].options
    if unknown := [option for option in options if option not in known]:
        plural = "s" * (len(unknown) > 1)
        raise ValueError(
            f"{name} has no option{plural} {', '.join(map(repr, unknown))}; its options are {', '.join(known)}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model to build; what a checkpoint stores of it besides its weights.

    Attributes:
        name: one of `model_names()`.
        num_classes: at least 2.
        options: of that model, as `create` takes them; lists become tuples.

    Raises:
        ValueError: unknown name or option, fewer than 2 classes.

    >>> config = ModelConfig(name="resnet50", num_classes=100, options={"stem": "cifar"})
    >>> ModelConfig.from_json(config.to_json()) == config
    True
    """

    name: str
    num_classes: int
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_options(self.name, self.options)
        if self.num_classes < 2:
            raise ValueError(f"`num_classes` is {self.num_classes}; a classifier needs at least 2")
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in self.options.items()}
        object.__setattr__(self, "options", plain)

    def __hash__(self) -> int:
        return hash((self.name, self.num_classes, tuple(sorted(self.options.items()))))

    def build(self, seed: int = 0, dtype: str = "float32") -> Classifier:
        """Create the model; see `create`."""
        return create(self.name, self.num_classes, seed=seed, dtype=dtype, **self.options)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dump`."""
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items()}
        return {"name": self.name, "num_classes": self.num_classes, "options": options}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ModelConfig":
        """Read what `to_json` made.

        Raises:
            ValueError: a field is missing or unknown, or has a value that no model takes.
        """
        wanted = {"name", "num_classes"}
        if not wanted <= stored.keys() <= wanted | {"options"}:
            raise ValueError(
                f"a model's description has the fields {', '.join(sorted(stored)) or '(none)'}; "
                "it needs name and num_classes, and may have options"
            )
        return cls(**stored)
