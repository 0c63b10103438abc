"""What services may answer for one input, and the rows that are made of it."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest

import zest_jax as zest
from zest_jax.blackbox.http.journal import Journal
from zest_jax.blackbox.http.scores import Columns, normal_form, one_hot, spread_top_k
from zest_jax.errors import ModelOutputError

NAMES = ("ant", "bee", "cat", "dog")


def columns(answers="auto", names=NAMES, n_classes=None, returns="probabilities"):
    return Columns("m", answers=answers, class_names=names, n_classes=n_classes, returns=returns)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ({"cat": 1, "dog": 0.5}, {"cat": 1.0, "dog": 0.5}),
        ([{"label": "cat", "score": 0.5}, {"label": "dog", "score": 0.25, "more": 1}], {"cat": 0.5, "dog": 0.25}),
        ({"label": "cat", "score": 0.5}, {"cat": 0.5}),
        ("cat", "cat"),
        (7, 7),
    ],
)
def test_forms_that_are_understood_survive_the_journal(output, expected):
    found = normal_form(output, "m")
    journal = Journal(None)
    journal.put("e", {b"q": found})
    for answer in (found, journal.get([b"q"])[b"q"]):
        assert (answer.tolist() if isinstance(answer, np.ndarray) else answer) == expected
    journal.close()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "answered None for one input"),
        ([], r"answered \[\] for one input"),
        ({}, r"answered \{\} for one input"),
        (1.5, "answered 1.5 for one input"),
        (True, "answered True for one input"),
        ([[1, 2]], r"answered \[1, 2\], a list where a score belongs"),
        (["0.5", "0.5"], "answered '0.5', a str where a score belongs"),
        ([0.5, None], "answered null .no number."),
        ([0.5, True], "answered True, a bool"),
        ([0.5, float("inf")], "answered inf as score 1"),
        ({"cat": float("nan")}, "answered nan as score 0"),
        ([{"label": "a", "score": 1}, {"label": "a", "score": 2}], "two scores for the class 'a'"),
    ],
)
def test_anything_else_is_refused(output, message):
    with pytest.raises(ModelOutputError, match=message):
        normal_form(output, "m")


def test_names_decide_the_order_of_columns():
    rows = columns().rows(
        [{"dog": 0.4, "cat": 0.3, "bee": 0.2, "ant": 0.1}, {"ant": 1.0, "bee": 0, "cat": 0, "dog": 0}]
    )
    np.testing.assert_allclose(rows, [[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0]])
    given = columns(names=("dog", "ant")).rows([{"ant": 1.0, "dog": 0.0}])
    assert given.tolist() == [[0, 1]]


def test_labels_become_one_hot():
    assert columns("labels").rows(["cat", 0, "ant"]).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert columns("labels", names=None, n_classes=3).rows([2, "1"]).tolist() == [[0, 0, 1], [0, 1, 0]]
    with pytest.raises(
        ModelOutputError, match=r"answered the class 'cow', and its classes are 'ant', 'bee', 'cat', 'dog'"
    ):
        columns("labels").rows(["cow"])
    with pytest.raises(ModelOutputError, match=r"answered the class 4, and its classes are 0 to 3"):
        columns("labels", names=None, n_classes=4).rows([4])
    with pytest.raises(ModelOutputError, match="answered the class -1"):
        columns("labels").rows([-1])
    with pytest.raises(ModelOutputError, match="answered scores where labels were announced"):
        columns("labels").rows([{"cat": 1.0}])
    with pytest.raises(ValueError, match="give all `class_names` in order, or `n_classes`"):
        columns("labels", names=None).rows(["cat"])
    with pytest.raises(ModelOutputError, match=r"answered a label alone .'cat'., no scores; `answers=\"labels\"`"):
        columns().rows(["cat"])


def test_top_k_is_filled_only_where_told_to():
    answer = {"dog": 0.5, "ant": 0.3}
    np.testing.assert_allclose(columns("top-k").rows([answer]), [[0.3, 0.1, 0.1, 0.5]], rtol=1e-6)
    numbered = columns("top-k", names=None, n_classes=4).rows([{"3": 0.5, "0": 0.3}])
    np.testing.assert_allclose(numbered, [[0.3, 0.1, 0.1, 0.5]], rtol=1e-6)
    with pytest.raises(ModelOutputError, match=r"2 of 4 known classes have no score \('bee', 'cat'\)"):
        columns().rows([answer])
    with pytest.raises(ModelOutputError, match="'cow' is no known class"):
        columns().rows([{**dict.fromkeys(NAMES, 0.25), "cow": 0.0}])


def test_the_rest_of_top_k_against_what_must_hold():
    rng = np.random.default_rng(0)
    for _ in range(50):
        whole = np.sort(rng.dirichlet(np.ones(20) * 0.3))[::-1]
        k = int(rng.integers(1, 20))
        row = spread_top_k(range(k), whole[:k].tolist(), 20)
        np.testing.assert_allclose(row[:k], whole[:k], rtol=1e-6)
        assert row.sum() == pytest.approx(1, abs=1e-5)
        assert row[k:].max(initial=0) <= whole[k - 1] + 1e-7  # no class that was not told beats one that was
        logits = np.log(whole + 1e-6)
        filled = spread_top_k(range(k), logits[:k].tolist(), 20, "logits")
        assert (filled[k:] == np.float32(logits[k - 1])).all()
    # Rounded scores: the least that was told is the most that another class can have.
    assert spread_top_k([0, 1], [0.99, 0.0], 4).tolist() == pytest.approx([0.99, 0, 0, 0])
    assert spread_top_k(range(3), [0.5, 0.3, 0.2], 3).tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert one_hot(2, 3).tolist() == [0, 0, 1]
    for scores in ([5.0, 3.0], [0.5, -0.5], [0.9, 0.2]):
        with pytest.raises(ModelOutputError, match='no probabilities; give `returns="logits"`'):
            spread_top_k([0, 1], scores, 4)


def test_names_must_differ():
    with pytest.raises(ValueError, match="names a class twice"):
        columns(names=("a", "a"))


def told(name: str, logits: np.ndarray) -> np.ndarray:
    """What is left of the logits [refs, samples, classes] of a model that tells only so much."""
    if name == "logits":
        return logits
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    scores = (scores / scores.sum(-1, keepdims=True)).reshape(-1, logits.shape[-1])
    if name == "labels":
        scores = np.stack([one_hot(int(row.argmax()), len(row)) for row in scores])
    if name == "top-3":
        best = np.argsort(-scores, axis=1)[:, :3]
        scores = np.stack([spread_top_k(b, row[b].tolist(), len(row)) for b, row in zip(best, scores, strict=True)])
    return scores.reshape(logits.shape)


def test_the_page_tells_how_much_less_is_told(golden):
    page = (Path(__file__).parents[3] / "docs" / "remote.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (logits|scores|top-3|labels)[^|]* \| (.*) \|$", page, re.M)
    assert [name for name, _ in rows] == ["logits", "scores", "top-3", "labels"]
    probes = zest.ProbeSet.from_arrays(
        references=golden.images, segments=golden.segments, masks=golden.masks, fill=golden.mean
    )

    @functools.cache
    def signature(model: str, name: str) -> zest.Signature:
        fits = zest.solve(probes, told(name, golden.logits[model]))
        real = np.arange(fits.weights.shape[1]) < probes.n_segments[:, None]
        return zest.Signature(
            weights=fits.weights[real],
            segment_counts=probes.n_segments,
            r2=fits.r2,
            variance=fits.variance,
            probe_hash=probes.hash,
            label=model,
        )

    for name, cells in rows:
        victim = signature("victim", name)
        near, far = (zest.distance(victim, signature(m, name), align="none") for m in ("victim_epoch3", "unrelated"))
        copy = zest.distance(victim, signature("victim", "scores"), align="none")
        found = [f"{near:.3f}", f"{far:.3f}", f"{near / far:.2f}", "" if name == "logits" else f"{copy:.3f}"]
        assert [cell.strip() for cell in cells.split("|")] == found, name
