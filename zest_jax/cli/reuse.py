"""`zest reuse`: make one model from another."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from zest_jax.cli.console import note
from zest_jax.cli.files import UsageError
from zest_jax.cli.options import OFF, Common, ModelOptions, commas, settings
from zest_jax.cli.training_data import TrainingData, adjusted, read_rows

if TYPE_CHECKING:
    from zest_jax.data import Dataset
    from zest_jax.models.registry import ModelConfig
    from zest_jax.training.checkpoints import Checkpoint
    from zest_jax.training.recipes import Recipe

_RECIPES_OWN = "(default: the recipe's)"
_OPTIONS = commas("NAME=VALUE,...", settings, default="the architecture's own")
_TEST = arg(metavar="DATA", help_behavior_hint="(default: not measured)")


def _config(model: str | None, options: dict[str, Any] | None, num_classes: int) -> "ModelConfig | None":
    """Which architecture is asked for; None: that of the victim."""
    from zest_jax.models.registry import ModelConfig

    if model is None and options:
        raise UsageError("--option needs --model, the architecture that it is an option of")
    return None if model is None else ModelConfig(name=model, num_classes=num_classes, options=options or {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfVictim(Common):
    """A model made from the one in VICTIM."""

    victim: Positional[Annotated[Path, arg(metavar="VICTIM")]]
    """Folder of a run of `zest train` or `zest reuse`, or one checkpoint in it (RUN/checkpoints/12)."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FOLDER")]
    """Where the new model goes."""

    def run(self) -> None:
        checkpoint = self.make()
        accuracy = checkpoint.info.accuracy
        measured = "not measured" if accuracy is None else f"{accuracy:.2%}"
        print(f"{self.output}: accuracy {measured}, fingerprint {checkpoint.fingerprint}")

    def make(self) -> "Checkpoint":
        raise NotImplementedError

    def _victim(self, path: Path | None = None) -> "Checkpoint":
        path = path or self.victim
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            raise FileNotFoundError(
                f"{path} {what}; give the folder of a run of `zest train`, or one checkpoint in it (RUN/checkpoints/12)"
            )
        self._check_output()
        from zest_jax.training.checkpoints import load_checkpoint

        return load_checkpoint(path)

    def _check_output(self) -> None:
        if self.output.exists() and not self.output.is_dir():
            raise UsageError(f"--output {self.output} is a file; name a folder")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Measured(_OfVictim):
    """A model made without training."""

    test: Annotated[str | None, _TEST] = None
    """Data on which accuracy is measured: a known data set's test split, or what --data of `zest train` takes."""

    def _common(self) -> dict[str, Any]:
        return {"folder": self.output, "test": self._test()}

    def _test(self) -> "Dataset | None":
        if self.test is None:
            return None
        from zest_jax.data import dataset_names, known_dataset, load_dataset

        name = self.test.partition(":")[0]
        split = known_dataset(name).test if name in dataset_names() else "test"
        return load_dataset(self.test, split=split, progress=self.progress)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Trained(_OfVictim):
    """A model made by training."""

    data: Annotated[TrainingData, arg(name="training data")]

    recipe: Annotated[str, arg(metavar="NAME")] = "fine-tune"
    """How it is trained: paper-cifar10, paper-cifar100, fast-cifar, fine-tune, text or audio."""

    epochs: Annotated[int | None, arg(metavar="N", help_behavior_hint=_RECIPES_OWN)] = None
    """Passes over the data."""

    batch_size: Annotated[int | None, arg(metavar="N", help_behavior_hint=_RECIPES_OWN)] = None
    """Inputs per step."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type to compute in; auto takes the recipe's. Weights are float32 always."""

    save_every: Annotated[int, arg(metavar="K", help_behavior_hint="(default: only the newest is kept)")] = 0
    """Keep the checkpoint of every K-th epoch besides the newest."""

    seed: int = 0
    """Decides everything random."""

    def _recipe(self) -> "Recipe":
        from zest_jax.training.recipes import recipe

        return adjusted(recipe(self.recipe), epochs=self.epochs, batch_size=self.batch_size, dtype=self.dtype)

    def _inputs(self) -> "tuple[Checkpoint, Dataset, Recipe, dict[str, Any]]":
        """Victim, data, recipe, and the arguments that all have in common; what needs no data is checked first."""
        self.data.check()
        recipe, victim = self._recipe(), self._victim()
        data, test = self.data.read(seed=self.seed, progress=self.progress)
        note(f"{victim.info.model.name} of {self.victim} on {len(data):,} inputs of {data.name}")
        return victim, data, recipe, self._common(test)

    def _common(self, test: "Dataset | None") -> dict[str, Any]:
        return {
            "folder": self.output,
            "test": test,
            "seed": self.seed,
            "save_every": self.save_every,
            "progress": self.progress,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer(_Trained):
    """Give the victim a new head for the classes of the data, and train its last parameters."""

    share: Annotated[float, arg(metavar="PERCENT")] = 100.0
    """Percentage of the parameter tensors that are trained, counted from the output (the paper has 10, 50, 100)."""

    keep_head: Annotated[bool, OFF] = False
    """Keep the victim's head and train on the same classes."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        victim, data, recipe, common = self._inputs()
        how = reuse.fine_tune if self.keep_head else reuse.transfer
        return how(victim, data, recipe, share=self.share, **common).checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prune(_Trained):
    """Set the smallest weights of the convolutions to 0, and train the others further."""

    sparsity: Annotated[float, arg(metavar="SHARE")]
    """Share of the weights to remove, above 0 and below 1 (the paper has 0.2, 0.5, 0.8)."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        reuse.check_sparsity(self.sparsity)
        victim, data, recipe, common = self._inputs()
        return reuse.prune(victim, sparsity=self.sparsity, data=data, recipe=recipe, **common)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantize(_Measured):
    """Round the weights to 8 bits or fewer for each output channel.

    For an ONNX file with dynamic int8, use `zest export` and `zest reuse quantize-onnx`.
    """

    bits: Annotated[int, arg(metavar="N")] = 8
    """Bits of a weight, 2 to 8."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        return reuse.quantize(self._victim(), bits=self.bits, **self._common())


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeOnnx(Common):
    """Quantise an ONNX model dynamically with ONNX Runtime: weights int8, activations as they come."""

    source: Positional[Annotated[Path, arg(metavar="MODEL.onnx")]]
    """What `zest export` wrote, or any other ONNX model."""

    output: Annotated[Path, arg(aliases=("-o",), metavar="FILE")]
    """Where to write the quantised model."""

    def run(self) -> None:
        from zest_jax.reuse import quantize_onnx

        print(f"wrote {quantize_onnx(self.source, self.output)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill(_Trained):
    """Train a student on the labels and on the features of the victim's four stages."""

    recipe: Annotated[str, arg(metavar="NAME")] = "fast-cifar"

    weight: Annotated[float, arg(metavar="W")] = 5.0
    """Weight of the features' mean squared error beside the cross-entropy."""

    model: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: as the victim)")] = None
    """Architecture of the student, whose stages have the shapes of the victim's: resnet32 for resnet20."""

    option: Annotated[dict[str, Any] | None, *_OPTIONS] = None
    """Options of that architecture, such as stem=cifar,width=0.5 of mobilenet_v2."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        victim, data, recipe, common = self._inputs()
        config = _config(self.model, self.option, victim.info.model.num_classes)
        return reuse.distill(victim, data, recipe, config=config, weight=self.weight, **common).checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extract(_Trained):
    """Train a copy on the victim's answers to the inputs of the data; their labels are not looked at."""

    victim: Positional[Annotated[Path, arg(metavar="VICTIM")]]
    """What `zest sign` takes: a run or checkpoint, an ONNX or PyTorch file, or MODULE:FUNCTION."""

    recipe: Annotated[str, arg(metavar="NAME")] = "fast-cifar"

    answers: Literal["labels", "probabilities", "logits"] = "labels"
    """What the victim answers with."""

    model: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: as the victim, if a checkpoint)")
    ] = None
    """Architecture of the copy."""

    option: Annotated[dict[str, Any] | None, *_OPTIONS] = None
    """Options of that architecture, such as stem=cifar,width=0.5 of mobilenet_v2."""

    adversarial_rounds: Annotated[int, arg(metavar="N")] = 0
    """Rounds in which the queries are moved along the copy's gradient and asked again (Papernot et al. 2017)."""

    epsilon: Annotated[float, arg(metavar="STEP", help_behavior_hint="(default: 8/255)")] = 8 / 255
    """How far each pixel is moved in such a round, on the scale from 0 to 1."""

    how: Annotated[ModelOptions, arg(name="victim")] = dataclasses.field(default_factory=ModelOptions)

    def make(self) -> "Checkpoint":
        from zest_jax.reuse import extract
        from zest_jax.reuse.extract import answers_to, check_victim

        names = ("answers", "adversarial_rounds", "epsilon")
        how: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.victim.is_dir():
            victim, data, recipe, common = self._inputs()
            config = _config(self.model, self.option, victim.info.model.num_classes)
            return extract(victim, data, recipe, config=config, **how, **common).checkpoint
        self.data.check()
        recipe = self._recipe()
        self._check_output()
        if self.model is None:
            raise UsageError(
                f"{self.victim} does not tell its architecture; give --model, the architecture of the copy"
            )
        box = self.how.load(str(self.victim))
        data, test = self.data.read(seed=self.seed, progress=self.progress)
        check_victim(box, data)
        note(f"{self.model} from the answers of {box.label} to {len(data):,} inputs of {data.name}")
        config = _config(self.model, self.option, answers_to(box, data.inputs[:1]).shape[-1])
        return extract(box, data, recipe, config=config, **how, **self._common(test)).checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unlearn(_Trained):
    """Make the model that never saw some rows of its training data, by training anew without them."""

    recipe: Annotated[str, arg(metavar="NAME")] = "fast-cifar"

    rows: Annotated[Path, arg(metavar="FILE")]
    """Text file with the numbers of the rows to forget, from 0, one a line."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        rows = read_rows(self.rows, "--rows")
        victim, data, recipe, common = self._inputs()
        return reuse.unlearn_exact(victim, data, rows, recipe, **common).checkpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlearnAmnesiac(_Measured):
    """Take back the updates of all batches that held the rows which `zest train --record` was told (Graves et al. 2020)."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        self._victim()
        return reuse.unlearn_amnesiac(self.victim, **self._common())


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlearnSisa(_OfVictim):
    """Train those shards of an ensemble anew that held some rows (`zest train --shards`; Bourtoule et al. 2021)."""

    data: Annotated[TrainingData, arg(name="training data")]

    rows: Annotated[Path, arg(metavar="FILE")]
    """Text file with the numbers of the rows to forget, from 0, one a line."""

    seed: int = 0
    """As in the training, if it drew a --fraction."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        self.data.check()
        rows = read_rows(self.rows, "--rows")
        self._victim()
        data, test = self.data.read(seed=self.seed, progress=self.progress)
        return reuse.unlearn_sisa(self.victim, data, rows, folder=self.output, test=test, progress=self.progress)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Permute(_OfVictim):
    """Reorder the classes of the victim at random; class names move along."""

    seed: int = 0
    """Decides the order."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        return reuse.permute_labels(self._victim(), seed=self.seed, folder=self.output)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(_Measured):
    """Add Gaussian noise to the weights."""

    scale: Annotated[float, arg(metavar="SHARE")]
    """Standard deviation of the noise, as a share of that of each kernel; 0.1 hardly changes a classifier."""

    seed: int = 0
    """Decides the noise."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse

        return reuse.add_noise(self._victim(), scale=self.scale, seed=self.seed, **self._common())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Average(_Measured):
    """Average the weights of two models of one architecture."""

    other: Annotated[Path, arg(metavar="CKPT")]
    """The second model."""

    weight: Annotated[float, arg(metavar="SHARE")] = 0.5
    """Share of the second model."""

    statistics: Annotated[
        str | None, arg(metavar="DATA", help_behavior_hint="(default: averaged like the weights)")
    ] = None
    """Data on which the statistics of batch normalisation are estimated anew, as models that lie far apart need it."""

    def make(self) -> "Checkpoint":
        from zest_jax import reuse
        from zest_jax.data import load_dataset

        a, b = self._victim(), self._victim(self.other)
        data = None if self.statistics is None else load_dataset(self.statistics, progress=self.progress)
        return reuse.average(a, b, weight=self.weight, data=data, **self._common())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reuse:
    """Make one model from another: every kind of reuse that Zest looks for."""

    how: (
        Annotated[Transfer, tyro.conf.subcommand("transfer")]
        | Annotated[Prune, tyro.conf.subcommand("prune")]
        | Annotated[Quantize, tyro.conf.subcommand("quantize")]
        | Annotated[QuantizeOnnx, tyro.conf.subcommand("quantize-onnx")]
        | Annotated[Distill, tyro.conf.subcommand("distill")]
        | Annotated[Extract, tyro.conf.subcommand("extract")]
        | Annotated[Unlearn, tyro.conf.subcommand("unlearn")]
        | Annotated[UnlearnAmnesiac, tyro.conf.subcommand("unlearn-amnesiac")]
        | Annotated[UnlearnSisa, tyro.conf.subcommand("unlearn-sisa")]
        | Annotated[Permute, tyro.conf.subcommand("permute")]
        | Annotated[Noise, tyro.conf.subcommand("noise")]
        | Annotated[Average, tyro.conf.subcommand("average")]
    )
