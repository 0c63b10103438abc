"""Text probes: choose references, find their words, draw masks, decide what replaces a masked word."""

import warnings
from collections.abc import Sequence

import numpy as np

from zest_jax.blackbox.protocol import BlackBox
from zest_jax.blackbox.takes import check_takes
from zest_jax.probes.checks import checked_text
from zest_jax.probes.masks import draw_masks
from zest_jax.probes.probe_set import ProbeSet
from zest_jax.probes.words import Components, WordSegmenter, has_word, segment_texts
from zest_jax.references import ReferenceMethod, choose_references


def text_probes(
    texts: Sequence[str] | np.ndarray,
    n_references: int = 128,
    n_samples: int = 1000,
    seed: int = 0,
    *,
    references: ReferenceMethod | Sequence[int] | np.ndarray = "random",
    labels: np.ndarray | Sequence[int] | None = None,
    model: BlackBox | None = None,
    segmenter: Components | WordSegmenter = "words",
    fill: str = "",
    p: float = 0.5,
) -> ProbeSet:
    """Make the probe set of Zest from texts (paper, section 4.4): words take the place of super-pixels.

    Args:
        texts: the pool, strings.
        n_references: N.
        n_samples: L, masks per reference, repeats included; more than a text has words.
        seed: decides references and masks; the same seed gives the same ProbeSet on every backend.
        references: `method` of `choose_references`.
        labels: [pool], see `choose_references`.
        model: see `choose_references`.
        segmenter: "words", every different word at all its places (LIME's default); "occurrences", every word at every place;
            or a callable, see `segment_texts`.
        fill: what a masked word becomes: "" takes it out (LIME's default), or an unknown or mask token that the models know,
            such as "[UNK]", "[MASK]" or LIME's "UNKWORDZ".
        p: probability that a word is kept.

    Raises:
        ValueError: a text is no string, empty or without words, or see `choose_references`, `draw_masks`.

    Warns:
        UserWarning: a reference has more words than there are masks, or most have one word.

    >>> probes = text_probes(["the cat sat on the mat", "a dog barks"], n_references=2, n_samples=40)
    >>> sorted(probes.n_segments.tolist()), probes.modality
    ([3, 5], 'text')
    """
    if isinstance(texts, str):
        raise ValueError("one text arrived where a pool of texts is needed; pass a list of strings")
    pool = np.empty(len(texts), object)
    pool[:] = [checked_text(text, i) for i, text in enumerate(texts)]
    if model is not None:
        check_takes(model, "text", None, what="the inputs")
    indices = choose_references(pool, n_references, method=references, labels=labels, model=model, seed=seed)
    wordless = [] if callable(segmenter) else [int(i) for i in indices if not has_word(str(pool[i]))]
    if wordless:
        raise ValueError(
            f"{len(wordless)} of the {len(indices)} texts chosen have no word, first text {wordless[0]} of the pool "
            f"({pool[wordless[0]][:40]!r}): there is nothing in them to mask; leave them out "
            "(`--skip-bad`)"
        )
    chosen = pool[indices]
    segments = segment_texts(chosen, segmenter)
    counts = (segments.max(axis=1) + 1).astype(np.int32)
    if n_samples < counts.max():
        warnings.warn(
            f"{n_samples} masks cannot determine the weights of a reference with {counts.max()} words; raise "
            "`n_samples`, choose shorter texts, or sign with `ridge` or `underdetermined='minimum-norm'`",
            stacklevel=2,
        )
    return ProbeSet.from_arrays(
        references=chosen,
        segments=segments,
        masks=draw_masks(counts, n_samples, p=p, seed=seed),
        fill=fill,
        modality="text",
        settings={
            "modality": "text",
            "references": references if isinstance(references, str) else "given",
            "reference_indices": indices.tolist(),
            "pool": len(pool),
            "seed": seed,
            "p": p,
            "segmenter": segmenter if isinstance(segmenter, str) else "callable",
            "fill": fill,
        },
    )
