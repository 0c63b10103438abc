"""Black boxes from models that take strings: functions, scikit-learn pipelines, Hugging Face models."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from zest_jax.blackbox.outputs import Output, as_rows, failed_when_asked, rows_of_lists, select_output
from zest_jax.blackbox.protocol import HostBlackBox, Returns, TextSpec
from zest_jax.blackbox.settings import name_of
from zest_jax.errors import ModelOutputError, missing_extra

Scores = Literal["auto", "predict_proba", "decision_function"]


def from_texts(
    fn: Callable[[list[str]], Any],
    *,
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    output: Output = None,
    returns: Returns = "auto",
    fixed_batch: int | None = None,
) -> HostBlackBox:
    """Make a black box of any function on a list of strings: a remote service, a pipeline of Hugging Face, a lookup.

    Args:
        fn: gets strings, returns scores [batch, classes] as an array or nested lists; a tuple or mapping of arrays from which
            `output` chooses; or, as pipelines of Hugging Face do with `top_k=None`, for each text a list of
            {"label": ..., "score": ...}, the same labels for every text, whose order is that of the labels sorted by name
            unless `class_names` says otherwise.
        label: the model's name in reports; the function's name by default.
        class_names: one per output column, in order.
        output: index or name of the output to take, None for the only [batch, classes] one.
        returns: "logits", "probabilities", or "auto" to let the query loop find out.
        fixed_batch: the only number of texts that `fn` accepts, None for any.

    Raises:
        ModelOutputError: when asked, if `fn` raises or its answer is none of these.

    >>> box = from_texts(lambda texts: [[len(text), text.count("a")] for text in texts], label="lengths")
    >>> box(["banana", "fig"]).tolist()
    [[6.0, 3.0], [3.0, 0.0]]
    """
    return _TextBlackBox(
        fn,
        output,
        label=label or name_of(fn),
        class_names=class_names,
        returns=returns,
        fixed_batch=fixed_batch,
        settings={"adapter": "texts", "output": output},
    )


def from_sklearn(
    pipeline: Any,
    *,
    scores: Scores = "auto",
    label: str | None = None,
    class_names: Sequence[str] | None = None,
) -> HostBlackBox:
    """Make a black box of a fitted scikit-learn pipeline that takes strings (a vectorizer and a classifier).

    Args:
        pipeline: with `predict_proba` or `decision_function`, and `classes_`.
        scores: which of them is asked; "auto" takes `decision_function` where there is one with a score for each class
            (linear models: scores that a linear fit explains), else `predict_proba`.
        label: the model's name in reports; by default the name of the class of its last step.
        class_names: one per class; `classes_` by default.

    Raises:
        TypeError: it has neither.
        ValueError: it lacks what `scores` asks for.
        ModelOutputError: when asked, if it raises; so does one that is not fitted.

    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good film", "bad film"], [1, 0])
    >>> from_sklearn(model, label="reviews")(["good", "bad"]).argmax(1).tolist()
    [1, 0]
    """
    known = [name for name in ("decision_function", "predict_proba") if hasattr(pipeline, name)]
    if not known:
        raise TypeError(
            f"{type(pipeline).__name__} has neither `predict_proba` nor `decision_function`; a function on strings goes to "
            "`from_texts`"
        )
    classes = getattr(pipeline, "classes_", None)
    steps = getattr(pipeline, "steps", None)
    last = steps[-1][1] if steps else pipeline
    if getattr(last, "decision_function_shape", None) == "ovo" and classes is not None and len(classes) > 2:
        # Its scores are those of pairs of classes.
        known.remove("decision_function")
    if scores == "auto" and known:
        # Two classes have one score, whose sign decides: probabilities tell them apart.
        two = classes is not None and len(classes) == 2
        scores = "predict_proba" if two and "predict_proba" in known else known[0]  # pyright: ignore[reportAssignmentType]
    if scores not in known:
        raise ValueError(
            f"{type(pipeline).__name__} has no `{scores}` with one score for each class; it has {', '.join(known) or 'none'}"
        )
    if class_names is None and classes is not None:
        class_names = [str(name) for name in classes]
    ask = getattr(pipeline, scores)
    return _TextBlackBox(
        lambda texts: _both_classes(ask(texts)),
        None,
        label=label or name_of(last),
        class_names=class_names,
        returns="probabilities" if scores == "predict_proba" else "logits",
        fixed_batch=None,
        settings={"adapter": "scikit-learn", "scores": scores},
    )


def from_transformers(
    model: Any,
    tokenizer: Any,
    *,
    max_length: int | None = None,
    label: str | None = None,
    class_names: Sequence[str] | None = None,
    output: Output = None,
    returns: Returns = "auto",
) -> HostBlackBox:
    """Make a black box of a Hugging Face text classifier (`AutoModelForSequenceClassification`) with its tokenizer.

    Args:
        model: a PyTorch module, called as `model(**encoding)`; its answer's `logits` are taken.
        tokenizer: called as `tokenizer(texts, padding=True, truncation=True, max_length=..., return_tensors="pt")`.
        max_length: tokens that the model takes; the tokenizer's `model_max_length` by default.
        class_names: one per class; the values of `model.config.id2label` by default.

    The other arguments are those of `from_texts`; `label` is the name of the class by default.

    Raises:
        MissingExtraError: PyTorch is not installed.
        ModelOutputError: when asked, if the model raises or gives no scores.

    Warns:
        UserWarning: the model is in training mode; or, once, that texts are longer than it takes.

    >>> import types, torch
    >>> class Net(torch.nn.Module):                                                 # stands for a model of the hub
    ...     def forward(self, input_ids, attention_mask):
    ...         return types.SimpleNamespace(logits=torch.stack([input_ids.sum(1), attention_mask.sum(1)], 1))
    >>> def tokenizer(texts, **settings):
    ...     ids = torch.tensor([[len(word) for word in text.split()] for text in texts])
    ...     return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    >>> from_transformers(Net().eval(), tokenizer, class_names=["letters", "words"])(["a good film", "bad music indeed"]).tolist()
    [[9.0, 3.0], [14.0, 3.0]]
    """
    try:
        import torch
    except ImportError as error:
        raise missing_extra("torch", "torch") from error
    label = label or name_of(model)
    if getattr(model, "training", False):
        warnings.warn(
            f"{label} is in training mode: dropout behaves as in training; call `model.eval()` first", stacklevel=2
        )
    names = getattr(getattr(model, "config", None), "id2label", None)
    if class_names is None and isinstance(names, Mapping):
        class_names = [str(names[i]) for i in sorted(names)]
    limit = max_length if max_length is not None else getattr(tokenizer, "model_max_length", None)
    # Tokenizers that know no limit say so with a number beyond all bounds.
    limit = None if limit is None or limit > 1_000_000 else int(limit)
    parameter = next(iter(model.parameters()), None) if hasattr(model, "parameters") else None
    device = "cpu" if parameter is None else parameter.device
    told: list[bool] = []

    def tell_of_long(texts: list[str], encoding: Any) -> None:
        # Only where a text fills the model can one have been cut: else nothing is tokenized twice.
        if told or limit is None or encoding["input_ids"].shape[1] < limit:
            return
        long = sum(len(ids) > limit for ids in tokenizer(texts, truncation=False)["input_ids"])
        if long:
            told.append(True)
            warnings.warn(
                f"{long} of {len(texts)} texts of a batch (perturbed copies count) have more than the {limit} tokens that "
                f"{label} takes; it sees the first {limit} of them",
                stacklevel=2,
            )

    def ask(texts: list[str]) -> Any:
        encoding = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        tell_of_long(texts, encoding)
        with torch.inference_mode():
            answer = model(**{name: tensor.to(device) for name, tensor in encoding.items()})
        return select_output(answer, output, label).float().cpu().numpy()

    return _TextBlackBox(
        ask,
        None,
        label=label,
        class_names=class_names,
        returns=returns,
        fixed_batch=None,
        settings={"adapter": "transformers", "max_length": limit, "output": output},
    )


class _TextBlackBox(HostBlackBox):
    def __init__(self, fn: Callable[[list[str]], Any], output: Output, **kwargs: Any) -> None:
        super().__init__(spec=TextSpec(), **kwargs)
        self._fn = fn
        self._output = output

    def answer_batch(self, prepared: np.ndarray) -> np.ndarray:
        try:
            answer = self._fn(prepared.tolist())
        except Exception as error:
            raise failed_when_asked(self.label, prepared, error) from error
        if self._output is None and isinstance(answer, list):
            answer = self._labelled(answer) if _is_labelled(answer) else rows_of_lists(answer)
        return as_rows(select_output(answer, self._output, self.label), len(prepared), self.label)

    def _labelled(self, answer: list[list[dict[str, Any]]]) -> np.ndarray:
        """Scores by label, as pipelines of Hugging Face give them, in one order of columns."""
        found = [{str(entry["label"]): float(entry["score"]) for entry in row} for row in answer]
        if self.class_names is None:
            self.class_names = tuple(sorted(found[0]))
        for row in found:
            if set(row) != set(self.class_names):
                raise ModelOutputError(
                    f"{self.label} answered scores for {', '.join(sorted(row))}, and its classes are "
                    f"{', '.join(self.class_names)}; ask a pipeline for all scores (`top_k=None`), or give the "
                    "`class_names` that it answers with"
                )
        return np.array([[row[name] for name in self.class_names] for row in found])


def _is_labelled(answer: list[Any]) -> bool:
    rows = [row if isinstance(row, list) else [row] for row in answer]
    if not rows or not all(
        isinstance(entry, dict) and {"label", "score"} <= set(entry) for row in rows for entry in row
    ):
        return False
    if any(not isinstance(row, list) for row in answer):
        raise ModelOutputError(
            "the pipeline answered one label per text; Zest needs the scores of all classes: call it with `top_k=None` "
            "(`lambda texts: pipe(texts, top_k=None)`)"
        )
    return True


def _both_classes(scores: Any) -> np.ndarray:
    """Scores [batch, classes]; where two classes have one score between them, its negative goes before it."""
    array = np.asarray(scores)
    return np.stack([-array, array], axis=1) if array.ndim == 1 else array
