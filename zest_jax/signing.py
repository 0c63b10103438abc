"""Phases 3 and 4a together: ask models the questions of a ProbeSet, fit while the answers arrive, return Signatures."""

import contextlib
import dataclasses
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import safetensors.numpy

from zest_jax.asking import Mode, check_box
from zest_jax.atomic import atomic_write
from zest_jax.blackbox.protocol import BlackBox
from zest_jax.blocks import Blocks, block_size, check_determined
from zest_jax.cost import check_costs
from zest_jax.errors import ConstantOutputsWarning, ProbeMismatchError
from zest_jax.fit_quality import warn_of_poor_fits
from zest_jax.fitting import ModelFits, Targets
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.progress import progress_bar
from zest_jax.querying import stream
from zest_jax.signature import Preview, Signature, best_explained, read_tensors
from zest_jax.solving import SolveSettings

__all__ = ["sign", "sign_many"]

# Seconds between two saves of a checkpoint.
CHECKPOINT_EVERY = 10.0
# They are further apart when saving takes long: at least this many times as long as a save took.
CHECKPOINT_SHARE = 50
CHECKPOINT_FORMAT = "zest-partial"
# Settings of a black box that decide what it answers, besides how it takes its inputs.
_ANSWERS = ("output", "scores", "max_length")
# The same of remote models.
_REMOTE_ANSWERS = ("endpoint", "answers")


def sign(
    box: BlackBox,
    probes: ProbeSet,
    *,
    batch_size: int | None = None,
    mode: Mode = "auto",
    check: bool = True,
    ridge: float = 0.0,
    intercept: bool = False,
    kernel_width: float | None = None,
    underdetermined: Literal["error", "minimum-norm"] = "error",
    solver: Literal["factored", "lstsq"] = "factored",
    targets: Targets = "as-is",
    devices: Sequence[jax.Device] | None = None,
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Signature:
    """Compute the signature of a model: S = [W_1; ...; W_N] (paper, Algorithm 1, lines 2 to 11).

    Args:
        box: the model (`from_flax`, `from_torch`, `from_onnx`, ...).
        probes: what to ask. Only signatures from the same ProbeSet can be compared.
        batch_size: inputs asked at once; see `zest_jax.querying.stream` for this and the next three.
        mode: how host models are asked.
        check: ask the first batch twice more, to find models that are not deterministic.
        devices: which devices share the work, by default all local ones.
        ridge: strength of the L2 penalty; see `SolveSettings` for this and the next four, whose defaults are the paper's.
        intercept: also fit a constant.
        kernel_width: of LIME's kernel, or None to weight all samples alike.
        underdetermined: "error", or the "minimum-norm" solution where the masks do not determine the weights.
        solver: "factored" or "lstsq".
        targets: what is fitted. "as-is", the outputs as the model gives them (the authors fit logits); "probabilities", their
            softmax unless the model already answers with probabilities; "logits", their logarithm, centred per input, when
            the model answers with probabilities.
        progress: a bar with rate and time left on stderr; by default when stderr is a terminal.
        checkpoint: a file that is kept up to date while the model is asked, every 10 s and when the run ends in whatever way;
            when it exists, the run that left it is continued and nothing answered is asked again (but the first batch, to see
            that it is the same model). It is always written whole. Delete it once the signature is saved.

    Raises:
        ValueError: the masks do not determine the fit (before any query), or an argument is out of range.
        ModelOutputError: the model's outputs cannot be used, or it is not deterministic; see `zest_jax.querying.stream`.
        BudgetError: the budget of a remote model does not reach (before any query); see `zest_jax.cost`.
        ProbeMismatchError: the checkpoint belongs to another probe set, model or settings.

    Warns:
        PoorFitWarning: the linear models explain less than a tenth of the outputs' variance; told once of each signature.
        ConstantOutputsWarning: the model gave the same outputs whatever was masked.

    >>> from zest_jax import from_jax, image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, 4, 60, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> sign(from_jax(lambda x: x.mean((1, 2))), probes).weights.shape
    (16, 3)
    """
    return sign_many(
        [box],
        probes,
        batch_size=batch_size,
        mode=mode,
        check=check,
        ridge=ridge,
        intercept=intercept,
        kernel_width=kernel_width,
        underdetermined=underdetermined,
        solver=solver,
        targets=targets,
        devices=devices,
        progress=progress,
        checkpoint=checkpoint,
    )[0]


def sign_many(
    boxes: Sequence[BlackBox],
    probes: ProbeSet,
    *,
    batch_size: int | None = None,
    mode: Mode = "auto",
    check: bool = True,
    ridge: float = 0.0,
    intercept: bool = False,
    kernel_width: float | None = None,
    underdetermined: Literal["error", "minimum-norm"] = "error",
    solver: Literal["factored", "lstsq"] = "factored",
    targets: Targets = "as-is",
    devices: Sequence[jax.Device] | None = None,
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> list[Signature]:
    """Sign several models in one pass: every batch is composed once and every fit is factored once for all of them.

    Args:
        boxes: the models, of which each is asked every question.

    The other arguments and errors are those of `sign`.

    Returns:
        a signature for each model, in order.

    Raises:
        ValueError: no models are given, or a setting is none of its values.
        TypeError: `probes` is no ProbeSet.

    >>> from zest_jax import from_jax, image_probes
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    >>> probes = image_probes(images, 2, 20, segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> a, b = sign_many([from_jax(lambda x: x.mean((1, 2)), label="a"), from_jax(lambda x: x.max((1, 2)), label="b")], probes)
    >>> a.label, b.label, a.weights.shape                                           # 2 references of 4 segments, 3 classes
    ('a', 'b', (8, 3))
    """
    if targets not in ("as-is", "logits", "probabilities"):
        raise ValueError(f"`targets` is {targets!r}; choose 'as-is', 'logits' or 'probabilities'")
    settings = SolveSettings(
        ridge=ridge, intercept=intercept, kernel_width=kernel_width, underdetermined=underdetermined, solver=solver
    )
    devices = list(devices or jax.local_devices())
    if not boxes:
        raise ValueError("no models were given; pass at least one black box")
    if not isinstance(probes, ProbeSet):
        raise TypeError(
            f"`probes` must be a ProbeSet, got {type(probes).__name__}; make one with `image_probes`, `text_probes` or "
            "`audio_probes`"
        )
    for box in boxes:
        check_box(box, probes)
    check_determined(probes, settings)
    run = _Run(boxes, probes, settings, targets, Path(checkpoint) if checkpoint is not None else None)
    options = {"batch_size": batch_size, "mode": mode, "devices": devices, "check": check}
    first = run.queries_done
    check_costs(boxes, probes, show=progress, batch_size=batch_size, devices=devices, first=first, check=check)
    if first:
        run.check_same_models(next(stream(boxes, probes, **options)).outputs)

    label = boxes[0].label if len(boxes) == 1 else f"{len(boxes)} models"
    with (
        progress_bar(f"signing {label}", probes.n_queries, unit="queries", show=progress, done=first) as update,
        run.saved_on_exit(),
    ):
        # A run that goes on was checked with the first batch.
        for batch in stream(boxes, probes, first=first, **{**options, "check": check and not first}):
            run.add_answers(batch.outputs)
            run.fit_what_is_complete(devices)
            run.save_now_and_then()
            update(batch.stop)
        run.fit_what_is_complete(devices)
    signatures = run.signatures()
    warn_of_poor_fits(signatures)
    return signatures


class _Run:
    """A signing run: its models, how far it is, and the checkpoint that holds both."""

    def __init__(
        self,
        boxes: Sequence[BlackBox],
        probes: ProbeSet,
        settings: SolveSettings,
        targets: Targets,
        checkpoint: Path | None,
    ) -> None:
        self.probes, self.settings, self.targets, self.path = probes, settings, targets, checkpoint
        self.models = [ModelFits(box, probes, targets, intercept=settings.intercept) for box in boxes]
        self.blocks: Blocks | None = None
        self.references_done = 0
        self.saved_at, self.saved_queries, self.save_every = time.monotonic(), 0, CHECKPOINT_EVERY
        identity = {
            "probe_hash": probes.hash,
            "models": [box.label for box in boxes],
            "model_files": [box.settings.get("file_sha256") for box in boxes],
            "inputs": [box.spec.to_json() for box in boxes],
            "answers": [
                {name: box.settings.get(name) for name in _ANSWERS}
                | {name: box.settings[name] for name in _REMOTE_ANSWERS if name in box.settings}
                for box in boxes
            ],
            "solve": dataclasses.asdict(settings),
            "targets": targets,
        }
        # Through JSON, as it will be read back: tuples become lists.
        self.identity = json.loads(json.dumps(identity))
        if self.path is not None and self.path.exists():
            self._resume(self.path)

    @property
    def queries_done(self) -> int:
        """Queries that every model has answered."""
        return min(model.answered for model in self.models)

    def add_answers(self, outputs: list[np.ndarray]) -> None:
        for model, answers in zip(self.models, outputs, strict=True):
            model.add_answers(answers)

    def fit_what_is_complete(self, devices: list[jax.Device]) -> None:
        """Fit every block of references whose questions are all answered, and forget the answers."""
        if self.blocks is None:
            classes = max(model.weights.shape[1] for model in self.models)
            size = block_size(self.probes, self.settings, classes)
            self.blocks = Blocks(self.probes, self.settings, devices, size)
        answered = int(np.searchsorted(self.probes.distinct.start, self.queries_done, side="right")) - 1
        while (block := self.blocks.next_complete(self.references_done, answered)) is not None:
            begin, end = (int(self.probes.distinct.start[i]) for i in (block.start, block.stop))
            for model in self.models:
                model.store(self.blocks.fit(block, model.answers(begin, end)), block.start, block.stop)
            # The one step that counts the block as done: an interrupt before it loses the fits, not the answers.
            self.references_done = block.stop
            for model in self.models:
                model.forget(end)

    def check_same_models(self, outputs: list[np.ndarray]) -> None:
        for model, now in zip(self.models, outputs, strict=True):
            if not model.is_same_model(now):
                raise ProbeMismatchError(
                    f"the checkpoint {self.path} was left by another model: {model.box.label} now answers the first "
                    "questions differently. Delete the checkpoint to start anew, or name another one"
                )

    def save_now_and_then(self) -> None:
        if time.monotonic() - self.saved_at > self.save_every:
            self._save()

    @contextlib.contextmanager
    def saved_on_exit(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._save()

    def _save(self) -> None:
        self.saved_at = start = time.monotonic()
        # An interrupt may have come between two models: what not all have answered is asked again.
        queries_done = self.queries_done
        if self.path is None or queries_done == self.saved_queries:
            return
        tensors = {
            f"{i}.{name}": np.ascontiguousarray(value)
            for i, model in enumerate(self.models)
            for name, value in model.tensors(self.references_done, queries_done).items()
        }
        header = {
            "format": CHECKPOINT_FORMAT,
            "identity": json.dumps(self.identity),
            "references_done": str(self.references_done),
            "kinds": json.dumps([model.kind for model in self.models]),
        }
        with atomic_write(self.path) as file:
            file.write(safetensors.numpy.save(tensors, metadata=header))
        self.saved_queries = queries_done
        self.save_every = max(CHECKPOINT_EVERY, CHECKPOINT_SHARE * (time.monotonic() - start))

    def _resume(self, path: Path) -> None:
        tensors, header = read_tensors(path, CHECKPOINT_FORMAT, "a checkpoint of `sign`", "delete it to start anew")
        left = json.loads(header["identity"])
        different = [name for name, value in self.identity.items() if left.get(name) != value]
        if different:
            raise ProbeMismatchError(
                f"the checkpoint {path} belongs to another run: "
                + "; ".join(f"{name} was {left.get(name)}, is {self.identity[name]}" for name in different)
                + ". Delete it to start anew, or name another one"
            )
        self.references_done = int(header["references_done"])
        for i, (model, kind) in enumerate(zip(self.models, json.loads(header["kinds"]), strict=True)):
            own = {name.removeprefix(f"{i}."): x for name, x in tensors.items() if name.startswith(f"{i}.")}
            model.restore(own, self.references_done, kind)
        self.saved_queries = self.queries_done

    def signatures(self) -> list[Signature]:
        return [self._signature(model) for model in self.models]

    def _signature(self, model: ModelFits) -> Signature:
        if not model.variance.any():
            warnings.warn(
                f"{model.box.label} gave the same outputs whatever was masked: its signature says nothing and no "
                "distance to it is defined; check that its inputs reach it in the scale it expects, and that its outputs are "
                "scores",
                ConstantOutputsWarning,
                stacklevel=4,
            )
        return Signature(
            weights=model.weights,
            segment_counts=self.probes.n_segments,
            r2=model.r2,
            variance=model.variance,
            intercept=model.intercept,
            probe_hash=self.probes.hash,
            label=model.box.label,
            class_names=model.box.class_names,
            settings={
                "model": model.box.settings,
                "solve": dataclasses.asdict(self.settings),
                "outputs": model.kind,
                "targets": self.targets,
                "modality": self.probes.modality,
            },
            preview=_preview(self.probes, best_explained(model.r2, model.variance)),
        )


def _preview(probes: ProbeSet, reference: int) -> Preview:
    content, segments = probes.references[reference], probes.segments[reference]
    if probes.modality == "text":
        return Preview(reference, content, segments[: len(content)])
    if probes.modality == "image" and content.dtype != np.uint8:
        content = np.rint(content * 255).astype(np.uint8)
    return Preview(reference, content, segments, probes.rate)
