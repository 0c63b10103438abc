"""What all methods have in common."""

import dataclasses
import warnings

import numpy as np
import pytest

from tests.baselines.making import model, noise, on_the_host, quick
from tests.making import M5, sounds, texts
from zest_jax.baselines import METHODS, Access, ModelDiff, PredictionAgreement
from zest_jax.blackbox import batches, from_callable, from_jax, from_texts
from zest_jax.errors import ModelOutputError
from zest_jax.training import start_checkpoint

NAMED = {kind.name: kind for kind in METHODS}
ALL = [pytest.param(quick(kind), id=kind.name) for kind in METHODS]
ASKING = [pytest.param(quick(kind), id=kind.name) for kind in METHODS if kind.name != "weight cosine"]
# A suspect that can only be asked.
REMOTE = [
    pytest.param(ModelDiff(steps=5, adversary="victim") if kind.name == "ModelDiff" else quick(kind), id=kind.name)
    for kind in METHODS
    if kind.name != "weight cosine"
]
BEST = {"SAC-w": 0.0, "SAC-m": 0.0, "Zest": 0.0}


@pytest.fixture(scope="module")
def checkpoint():
    return start_checkpoint(M5, sounds(), seed=0)


def test_every_method_is_named_once_and_says_what_it_needs():
    assert len(NAMED) == len(METHODS) == 9
    assert {name: str(kind().access) for name, kind in NAMED.items()} == {
        "prediction agreement": "labels",
        "AKH": "labels",
        "FBI": "labels",
        "SAC-w": "black box",
        "SAC-m": "black box",
        "IPGuard": "gradients of the victim",
        "ModelDiff": "gradients of the suspect",
        "weight cosine": "white box",
        "Zest": "black box",
    }
    assert ModelDiff(adversary="victim").access == Access("gradients", "scores")


@pytest.mark.parametrize("method", ALL)
def test_methods_are_frozen_and_their_settings_have_names(method):
    with pytest.raises(TypeError, match="positional argument"):
        type(method)("as-is")
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.name = "another"


@pytest.mark.parametrize("method", ALL)
def test_the_victim_itself_gets_the_highest_score_and_a_stranger_a_lower_one(method):
    prepared = method.prepare(model(0), noise(), 40)
    own, changed, stranger = (prepared.score(box) for box in (model(0), model(0, nearby=0.02), model(1)))
    assert own == pytest.approx(BEST.get(method.name, 1.0), abs=1e-6)
    assert own >= changed > stranger


@pytest.mark.parametrize("method", ALL)
def test_scores_are_plain_numbers_and_the_same_seed_gives_the_same(method):
    first, again = (method.fingerprint(model(0), model(1), noise(), 20, seed=3) for _ in range(2))
    assert type(first) is float
    assert first == again


@pytest.mark.parametrize("method", ASKING)
def test_another_seed_asks_other_questions(method):
    scores = {method.fingerprint(model(0), model(1), noise(), 10, seed=seed) for seed in range(3)}
    assert len(scores) > 1


@pytest.mark.parametrize("method", REMOTE)
@pytest.mark.parametrize("budget", [10, 41])
def test_a_suspect_is_never_asked_more_than_the_budget(method, budget, monkeypatch):
    # Batches of 16, so that 41 questions are no whole number of batches.
    monkeypatch.setattr(batches, "BATCH_ELEMENTS", {"cpu": 1})
    asked = []
    prepared = method.prepare(model(0), noise(120), budget)
    prepared.score(on_the_host(1, asked=asked))
    assert budget // 2 < sum(asked) == prepared.n_queries <= budget


@pytest.mark.parametrize("method", REMOTE)
def test_a_suspect_of_another_framework_gets_the_score_of_its_twin_in_jax(method):
    prepared = method.prepare(model(0), noise(), 20)
    assert prepared.score(on_the_host(1)) == pytest.approx(prepared.score(model(1)), abs=1e-3)


@pytest.mark.parametrize("method", ALL)
def test_images_may_be_stored_as_bytes_or_floats(method):
    stored = noise()
    plain = dataclasses.replace(stored, inputs=stored.inputs.astype(np.float32) / np.float32(255))
    scores = [method.fingerprint(model(0), model(1), data, 20) for data in (stored, plain)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.parametrize("method", ASKING)
@pytest.mark.parametrize("budget", [0, -3, 2.5, True])
def test_a_budget_that_is_none_is_refused_and_the_least_is_told(method, budget):
    if budget is True and method.minimum == 1:
        budget = False
    with pytest.raises(ValueError, match=f"{method.name} needs a budget of at least {method.minimum} questions"):
        method.prepare(model(0), noise(), budget)


@pytest.mark.parametrize(("name", "least"), [("SAC-w", 2), ("SAC-m", 2), ("FBI", 2), ("ModelDiff", 4), ("Zest", 2)])
def test_the_least_budget_is_enough_and_one_less_is_not(name, least):
    method = quick(NAMED[name])
    with pytest.raises(ValueError, match=f"at least {least} questions to a suspect, got {least - 1}; raise it"):
        method.prepare(model(0), noise(), least - 1)
    # Of a seed with which two questions have two labels.
    assert method.prepare(model(0), noise(), least, seed=1).n_queries <= least


@pytest.mark.parametrize("method", REMOTE)
def test_answers_that_are_not_finite_are_refused(method):
    broken = from_callable(lambda x: np.full((len(x), 3), np.nan), label="broken")
    with pytest.raises(ModelOutputError, match="broken answered .* with NaN or infinity"):
        method.prepare(model(0), noise(), 20).score(broken)


@pytest.mark.parametrize("method", ASKING)
def test_a_victim_that_answers_no_numbers_is_refused(method):
    broken = from_jax(lambda x: x.mean((1, 2)) / 0 * 0, label="broken")
    with pytest.raises(ModelOutputError, match="broken answered"):
        method.fingerprint(broken, broken, noise(), 20)


@pytest.mark.parametrize("method", ASKING)
def test_a_model_of_texts_is_not_asked_about_images(method):
    reader = from_texts(lambda found: [[len(text), 1.0] for text in found], label="reader")
    with pytest.raises(ValueError, match="reader takes texts, and the inputs are images"):
        method.prepare(reader, noise(), 20)
    with pytest.raises(ValueError, match=r"reader takes texts, and the (questions|probes) are images"):
        method.prepare(model(0), noise(), 20).score(reader)


@pytest.mark.parametrize("method", ASKING)
def test_only_black_boxes_are_asked(method, checkpoint):
    with pytest.raises(
        TypeError, match=f"{method.name} asks black boxes, got Checkpoint; wrap the model with from_checkpoint"
    ):
        method.prepare(checkpoint, noise(), 20)
    with pytest.raises(TypeError, match=f"{method.name} asks black boxes, got str"):
        method.prepare(model(0), noise(), 20).score("a name")


@pytest.mark.parametrize("name", ["SAC-m", "IPGuard", "ModelDiff"])
def test_methods_that_change_numbers_refuse_texts(name):
    reader = from_texts(lambda found: [[len(text), 1.0] for text in found], label="reader")
    with pytest.raises(
        ValueError, match=f"{name} works on images and sounds, and sentences holds texts; choose a method"
    ):
        quick(NAMED[name]).prepare(reader, texts(), 20)


@pytest.mark.parametrize("name", ["prediction agreement", "AKH", "FBI", "SAC-w", "Zest"])
def test_methods_that_only_ask_work_on_texts(name):
    def reader(found):
        counts = [[text.count("a"), text.count("e"), text.count("o")] for text in found]
        return np.asarray(counts, np.float32)

    box = from_texts(reader, label="reader")
    method = NAMED[name]()
    assert method.fingerprint(box, box, texts(), 12) == pytest.approx(BEST.get(name, 1.0), abs=1e-6)


@pytest.mark.parametrize("kind", METHODS, ids=list(NAMED))
def test_every_method_works_on_sounds(kind):
    data = dataclasses.replace(sounds(60), rate=8000)
    method = kind() if kind.name == "Zest" else quick(kind)
    first, second = (model(seed, inputs=512) for seed in (0, 1))
    prepared = method.prepare(first, data, 12)
    assert prepared.score(first) == pytest.approx(BEST.get(kind.name, 1.0), abs=1e-6)
    assert prepared.score(second) < prepared.score(first)


def test_no_warning_when_there_is_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in METHODS:
            quick(kind).prepare(model(0), noise(), 12)


@pytest.mark.parametrize("seed", [-1, 0.5, "x"])
def test_seeds_that_are_none(seed):
    with pytest.raises(ValueError, match="`seed` is .*; give a whole number, 0 or more"):
        PredictionAgreement().prepare(model(0), noise(), 8, seed=seed)
