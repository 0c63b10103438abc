"""Zest itself, under the interface of its peers."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from zest_jax.alignment import METRICS, AlignMethod, Metric
from zest_jax.baselines.answers import Scores, check_scores
from zest_jax.baselines.protocol import Access, Method, Model, Prepared, black_box
from zest_jax.blackbox.batches import default_batch_size
from zest_jax.blackbox.protocol import BlackBox, HostBlackBox
from zest_jax.data.datasets import Dataset
from zest_jax.distances import check_comparable, distance
from zest_jax.probes.audio import audio_probes
from zest_jax.probes.image import image_probes
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.text import text_probes
from zest_jax.signature import Signature
from zest_jax.signing import sign

# How often questions saved by repeats are spent on more.
_ROUNDS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Zest(Method):
    """Distance of signatures made of local linear models (Jia et al., Zest, ICLR 2022, Algorithm 1).

    The score is -distance(S_victim, S_suspect), in [-2, 0] for the cosine distance: HIGHER means more likely made from the
    victim. Classes are aligned, so that models of different label sets compare.

    The budget is spent on N references with L masks each: on `n_references` with as many masks as it gives, down to
    `fewest_samples` and up to `n_samples`, else on fewer references. Masks that repeat are asked once; what that saves is
    spent on more references, or on more masks where there are `n_references`. Where a reference has more segments than
    masks, the weights of least norm are taken. The answers are not checked for being deterministic, which would take more
    questions.

    Attributes:
        n_references: N at most, 128 in the paper.
        n_samples: L at most, 1000 in the paper.
        fewest_samples: L at least.
        segmenter: as in `image_probes`, `text_probes` or `audio_probes`; None for theirs.
        segmenter_settings: of the segmenter of images and sounds.
        metric: see `zest_jax.distance`.
        align: see `zest_jax.distance`.
        scores: "as-is", the outputs as the models give them; "probabilities", their softmax where a model answers with logits.

    Raises:
        ValueError: a setting is out of its range.

    >>> from zest_jax import from_jax
    >>> noise = Dataset(
    ...     inputs=np.random.default_rng(0).random((8, 8, 8, 3), np.float32), labels=np.zeros(8, np.int32),
    ...     class_names=("noise",), mean=(0.5,) * 3, std=(0.25,) * 3, name="noise")
    >>> method = Zest(segmenter="grid", segmenter_settings={"rows": 2, "columns": 2})
    >>> prepared = method.prepare(from_jax(lambda x: x.mean((1, 2))), noise, budget=100)
    >>> prepared.n_queries <= 100, round(prepared.score(from_jax(lambda x: x[..., ::-1].mean((1, 2)))), 4) == 0
    (True, True)
    """

    name: ClassVar[str] = "Zest"
    access: ClassVar[Access] = Access("scores", "scores")
    minimum: ClassVar[int] = 2

    n_references: int = 128
    n_samples: int = 1000
    fewest_samples: int = 25
    segmenter: Any = None
    segmenter_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: Metric = "cosine"
    align: AlignMethod = "auto"
    scores: Scores = "as-is"

    def __post_init__(self) -> None:
        check_scores(self.scores)
        if not (self.n_references >= 1 and 2 <= self.fewest_samples <= self.n_samples):
            raise ValueError(
                f"`n_references` is {self.n_references}, `fewest_samples` {self.fewest_samples} and `n_samples` "
                f"{self.n_samples}; give at least 1 reference, and 2 <= fewest_samples <= n_samples"
            )
        if self.metric not in METRICS:
            raise ValueError(f"`metric` is {self.metric!r}; choose one of {', '.join(METRICS)}")

    def split(self, budget: int, available: int) -> tuple[int, int]:
        """How many references and masks per reference a budget allows if no mask repeats, N * L <= budget.

        >>> Zest().split(100, 5000), Zest().split(12_800, 5000), Zest().split(10**6, 5000), Zest().split(12, 5000)
        ((4, 25), (128, 100), (128, 1000), (1, 12))
        """
        references = min(self.n_references, available)
        masks = min(max(budget // references, min(self.fewest_samples, budget)), self.n_samples)
        return min(references, budget // masks), masks

    def _prepare(self, victim: BlackBox, inputs: Dataset, budget: int, seed: int) -> Prepared:
        probes = self._within(budget, inputs, seed)
        signature = self.sign(victim, probes)
        check_comparable(signature, signature)
        return _Signed(n_queries=probes.n_queries, method=self, probes=probes, signature=signature)

    def _within(self, budget: int, inputs: Dataset, seed: int) -> ProbeSet:
        """Probes of at most so many questions, and not many fewer."""
        most = min(self.n_references, len(inputs))
        size = self.split(budget, len(inputs))
        probes = self._probes(inputs, *size, seed)
        for _ in range(_ROUNDS):
            references, masks = size
            share = budget / probes.n_queries
            if references < most:
                larger = min(most, int(references * share)), masks
            else:
                larger = references, min(self.n_samples, int(masks * share))
            if larger == size:
                break
            more = self._probes(inputs, *larger, seed)
            if more.n_queries > budget:
                break
            size, probes = larger, more
        return probes

    def _probes(self, inputs: Dataset, references: int, masks: int, seed: int) -> ProbeSet:
        given = {} if self.segmenter is None else {"segmenter": self.segmenter}
        with warnings.catch_warnings():
            # Fits of least norm are what is wanted here.
            warnings.filterwarnings("ignore", message=".* masks cannot determine the weights")
            if inputs.modality == "text":
                return text_probes(inputs.inputs, references, masks, seed, **given)
            given["segmenter_settings"] = self.segmenter_settings
            if inputs.modality == "image":
                return image_probes(inputs.inputs, references, masks, seed, progress=False, **given)
            if inputs.rate is None:
                raise ValueError(
                    f"the rate of the sounds in {inputs.name} is not known, and {self.name} needs it; give the data its `rate`"
                )
            return audio_probes(inputs.inputs, references, masks, seed, rate=inputs.rate, **given)

    def sign(self, box: BlackBox, probes: ProbeSet) -> Signature:
        """The signature of a model, from questions that are each asked once."""
        shape = () if probes.modality == "text" else probes.references.shape[1:]
        box = _WithoutRepeats(box) if isinstance(box, HostBlackBox) else box
        return sign(
            box,
            probes,
            batch_size=min(default_batch_size(shape, [box]), probes.n_queries),
            check=False,
            underdetermined="minimum-norm",
            targets=self.scores,
            progress=False,
        )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Signed(Prepared):
    """The victim's signature and the probes that it comes from."""

    method: Zest
    probes: ProbeSet
    signature: Signature

    def score(self, suspect: Model) -> float:
        signature = self.method.sign(black_box(suspect, self.method.name), self.probes)
        return -distance(self.signature, signature, metric=self.method.metric, align=self.method.align)


class _WithoutRepeats(HostBlackBox):
    """A model on the host that is not asked about the copies of the last question with which a batch is filled up."""

    def __init__(self, box: HostBlackBox) -> None:
        super().__init__(
            label=box.label, spec=box.spec, class_names=box.class_names, returns=box.returns, settings=box.settings
        )
        self.box = box

    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        n = len(prepared)
        while n > 1 and np.array_equal(prepared[n - 2], prepared[-1]):
            n -= 1
        answers = self.box.ask(prepared[:n])
        return np.concatenate([answers, np.repeat(answers[-1:], len(prepared) - n, axis=0)])
