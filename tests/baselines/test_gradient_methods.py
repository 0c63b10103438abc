"""Methods that move inputs along gradients: ModelDiff and IPGuard."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import distance
from scipy.special import softmax

from tests.baselines.making import model, network, noise, on_the_host, weights
from zest_jax.baselines import METHODS, IPGuard, ModelDiff
from zest_jax.baselines.gradients import climb
from zest_jax.baselines.ipguard import _near, _near_by_probabilities
from zest_jax.baselines.modeldiff import _apart_and_diverse, decision_distances
from zest_jax.blackbox import from_callable, from_jax
from zest_jax.errors import DegenerateSignatureError, ModelOutputError

QUICK = ModelDiff(steps=5)
FREE = "prediction agreement, AKH, FBI, SAC-w, SAC-m, Zest"


def first_output(outputs):
    return outputs[:, 0].sum()


def linear(matrix, **settings):
    """A model of images [n, 1, 1, C] that is one matrix."""
    return from_jax(lambda w, x: x[:, 0, 0] @ w, jnp.asarray(matrix, jnp.float32), **settings)


def points(*rows):
    return np.array(rows, np.float32).reshape(len(rows), 1, 1, -1)


class TestClimb:
    def test_a_linear_model_moves_every_entry_to_the_bound_of_its_sign(self):
        box = linear([[2.0, 0], [-1.0, 0], [0.0, 0]])
        moved = climb(box, first_output, points([0.5, 0.5, 0.5]), modality="image", steps=9, step=0.02, radius=0.1)
        np.testing.assert_allclose(moved.ravel(), [0.6, 0.4, 0.5], atol=1e-6)

    def test_inputs_stay_in_their_scale(self):
        box = linear([[1.0], [-1.0]])
        start = points([0.95, 0.05])
        image = climb(box, first_output, start, modality="image", steps=9, step=0.05, radius=0.3)
        np.testing.assert_allclose(image.ravel(), [1, 0], atol=1e-6)
        sound = from_jax(lambda w, x: x @ w, jnp.array([[1.0], [-1.0]]))
        moved = climb(sound, first_output, start.reshape(1, 2), modality="audio", steps=9, step=0.05, radius=0.3)
        np.testing.assert_allclose(moved.ravel(), [1, -0.25], atol=1e-6)

    def test_the_gradient_is_taken_through_the_models_own_preparation(self):
        box = linear([[1.0], [1.0], [1.0]], mean=(0.5,) * 3, std=(0.1,) * 3)
        moved = climb(
            box, lambda z: -jnp.square(z[:, 0]).sum(), points([0.9, 0.9, 0.9]), modality="image", steps=40, step=0.01
        )
        np.testing.assert_allclose(moved.ravel(), 0.5, atol=0.011)

    def test_gradients_that_are_not_finite_move_nothing(self):
        box = from_jax(lambda x: jnp.sqrt(x[:, 0, 0]))
        moved = climb(box, first_output, points([0.0, 0.5]), modality="image", steps=3, step=0.1)
        np.testing.assert_allclose(moved.ravel(), [0.0, 0.5], atol=1e-6)

    def test_steps_on_their_own_and_in_a_loop_are_the_same(self, monkeypatch):
        start = noise(5).inputs.astype(np.float32) / 255
        how = {"modality": "image", "steps": 7, "step": 0.01, "radius": 0.05}
        alone = climb(model(0), first_output, start, **how)
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        np.testing.assert_allclose(climb(model(0), first_output, start, **how), alone, atol=1e-6)

    def test_many_inputs_are_moved_in_parts_as_they_would_be_alone(self):
        start = noise(150).inputs.astype(np.float32) / 255
        how = {"modality": "image", "steps": 3, "step": 0.01}
        moved = climb(model(0), first_output, start, **how)
        np.testing.assert_allclose(moved[140:], climb(model(0), first_output, start[140:], **how), atol=1e-6)

    def test_models_of_one_architecture_share_a_compilation(self):
        traced = []

        def counting(state, x):
            traced.append(None)
            return network(state, x)

        data = noise(16)
        method = ModelDiff(steps=2)
        boxes = [from_jax(counting, weights(seed)) for seed in range(3)]
        prepared = method.prepare(boxes[0], data, 16)
        prepared.score(boxes[1])
        before = len(traced)
        prepared.score(boxes[2])
        assert len(traced) == before


class TestModelDiff:
    def test_decision_distances_are_cosine_distances_of_pairs(self):
        outputs = np.random.default_rng(0).normal(size=(10, 4))
        expected = [distance.cosine(outputs[i], outputs[i + 5]) for i in range(5)]
        np.testing.assert_allclose(decision_distances(outputs), expected, atol=1e-12)

    @pytest.mark.parametrize("adversary", ["suspect", "victim"])
    def test_the_score_is_the_cosine_of_decision_distances_on_the_adversarys_pairs(self, adversary):
        method = ModelDiff(steps=5, adversary=adversary)
        victim, suspect, data = model(0), model(1), noise(8)
        score = method.fingerprint(victim, suspect, data, 16, seed=2)
        seeds = data.take(np.random.default_rng(2).permutation(8))
        pairs = method.pairs(suspect if adversary == "suspect" else victim, seeds, 2).inputs
        ddv = []
        for seed in (0, 1):
            outputs = network(weights(seed), pairs).astype(np.float64)
            ddv.append([distance.cosine(outputs[i], outputs[i + 8]) for i in range(8)])
        assert score == pytest.approx(1 - distance.cosine(*ddv), abs=1e-5)
        assert score < 0.999

    def test_neighbours_are_near_their_inputs_and_far_in_the_outputs(self):
        data = noise(8)
        pairs = QUICK.pairs(model(0), data, 0)
        plain, neighbours = pairs.inputs[:8], pairs.inputs[8:]
        np.testing.assert_array_equal(plain, data.inputs.astype(np.float32) / np.float32(255))
        assert 0.055 < np.abs(neighbours - plain).max() <= 0.06 + 1e-6
        assert neighbours.min() >= 0
        assert neighbours.max() <= 1
        at_random = np.clip(plain + np.random.default_rng(0).uniform(-0.06, 0.06, plain.shape), 0, 1)
        moved, chance = (
            np.linalg.norm(network(weights(0), x) - network(weights(0), plain), axis=1) for x in (neighbours, at_random)
        )
        assert moved.mean() > 2 * chance.mean()

    def test_the_objective_by_hand(self):
        # Moved by 5 and by 0; the two are 5 apart, in two of four ordered pairs.
        outputs, before = jnp.array([[3.0, 4.0], [0.0, 0.0]]), jnp.zeros((2, 2))
        assert float(jax.jit(_apart_and_diverse(2.0))(outputs, before)) == pytest.approx(2.5 + 2 * 2.5, abs=1e-4)

    def test_the_objective_has_a_gradient_where_nothing_has_moved(self):
        gradient = jax.jit(jax.grad(_apart_and_diverse(1.0)))(jnp.zeros((3, 2)), jnp.zeros((3, 2)))
        assert jnp.isfinite(gradient).all()

    def test_the_order_of_classes_and_their_number_do_not_matter(self):
        for adversary in ("suspect", "victim"):
            prepared = ModelDiff(steps=5, adversary=adversary).prepare(model(0), noise(20), 40)
            assert prepared.score(model(0, permutation=(2, 0, 1))) == pytest.approx(1, abs=1e-3)
            assert 0 <= prepared.score(model(1, classes=7)) < 0.99

    def test_a_pair_is_two_questions(self):
        assert QUICK.prepare(model(0), noise(20), 11).n_queries == 10

    def test_a_suspect_without_gradients_is_refused_with_what_works(self):
        prepared = QUICK.prepare(on_the_host(0), noise(20), 20)  # of the victim none are needed
        with pytest.raises(
            ValueError, match=r"ModelDiff takes gradients of the suspect, and host 1 can only be asked; .*"
        ) as error:
            prepared.score(on_the_host(1))
        assert str(error.value).endswith(f"{FREE}, or ModelDiff(adversary='victim')")

    def test_a_victim_without_gradients_is_refused_where_it_is_the_adversary(self):
        with pytest.raises(ValueError, match=f"gradients of the victim, and host 0 can only be asked; .*: {FREE}$"):
            ModelDiff(adversary="victim").prepare(on_the_host(0), noise(20), 20)

    def test_a_model_that_never_changes_its_answer_is_refused(self):
        constant = from_jax(lambda x: jnp.ones((len(x), 3)) + 0 * x.sum(), label="constant")
        with pytest.raises(DegenerateSignatureError, match="constant answers both inputs of every pair alike"):
            QUICK.fingerprint(model(0), constant, noise(20), 20)
        with pytest.raises(DegenerateSignatureError, match="constant answers both inputs of every pair alike"):
            ModelDiff(steps=5, adversary="victim").prepare(constant, noise(20), 20)

    def test_logits_and_probabilities_are_compared_only_on_request(self):
        careful = from_callable(lambda x: softmax(network(weights(0), x), axis=1), label="careful")
        how = {"steps": 5, "adversary": "victim"}
        with pytest.raises(ValueError, match="network 0 answers with logits, careful with probabilities"):
            ModelDiff(**how).fingerprint(model(0), careful, noise(20), 20)
        assert ModelDiff(**how, scores="probabilities").fingerprint(model(0), careful, noise(20), 20) == pytest.approx(
            1, abs=1e-4
        )

    @pytest.mark.parametrize("wrong", [{"epsilon": 0}, {"step": 2}, {"steps": 0}, {"diversity": -1}])
    def test_settings_out_of_range_are_refused(self, wrong):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"`{name}`.* {wrong[name]}.*; give distances above 0 and up to 1"):
            ModelDiff(**wrong)

    def test_an_unknown_adversary_is_refused(self):
        with pytest.raises(ValueError, match="`adversary` is 'both'; choose 'suspect' or 'victim'"):
            ModelDiff(adversary="both")


class TestIPGuard:
    def test_the_objective_by_hand(self):
        logits = jnp.array([[5.0, 1.0, 7.0], [2.0, 6.0, 1.0]])
        labels, targets, margin = jnp.array([0, 0]), jnp.array([1, 1]), jnp.array([3.0, 3.0])
        # First: 5 - 1 + 3, and 7 - 5; second: 2 - 6 + 3 and 1 - 2 are both below 0.
        assert float(jax.jit(_near)(logits, labels, targets, margin)) == pytest.approx(-(7 + 2))

    def test_points_cross_the_boundary_and_stop_behind_it(self):
        # Between two classes of a linear model, which lies where both values are equal.
        box = linear(np.eye(2))
        prepared: Any = IPGuard(margin=0.02, steps=200, step=0.005).prepare(box, _pixels([0.9, 0.2], [0.1, 0.4]), 2)
        left = prepared.answers.scores[:, 0] - prepared.answers.scores[:, 1]
        assert sorted(np.sign(left)) == [-1, 1]
        assert (np.abs(left) >= 0.02 - 1e-6).all()
        assert (np.abs(left) < 0.02 + 2 * 0.005 + 1e-6).all()

    def test_points_show_a_shift_of_the_boundary_that_inputs_do_not_show(self):
        data = _pixels(*np.random.default_rng(0).uniform(0.2, 0.8, (20, 2)).round(1) @ np.array([[1, 0], [0, 0.2]]))
        victim, shifted = linear(np.eye(2)), from_jax(lambda x: x[:, 0, 0] + jnp.array([0.03, 0.0]))
        same_on_inputs = victim(data.inputs).argmax(1) == shifted(data.inputs).argmax(1)
        prepared: Any = IPGuard(margin=0.01, steps=200, step=0.005).prepare(victim, data, 20)
        assert prepared.score(victim) == 1.0
        assert same_on_inputs.all()
        assert prepared.score(shifted) == 0.0

    @pytest.mark.parametrize(("target", "wanted"), [("second", 1), ("least", 2)])
    def test_the_target_is_chosen_by_its_score(self, target, wanted):
        box = from_jax(lambda x: jnp.stack([x[:, 0, 0, 0], x[:, 0, 0, 1], -x[:, 0, 0, 1]], 1))
        prepared: Any = IPGuard(target=target, margin=0.0, steps=300, step=0.01).prepare(box, _pixels([0.8, 0.3]), 1)
        if target == "second":
            assert prepared.answers.labels.tolist() == [wanted]
        else:  # out of reach: the likeliest and the least likely come as near as pixels allow
            np.testing.assert_allclose(prepared.questions.inputs.ravel(), [0.0, 0.0], atol=0.02)

    def test_random_targets_are_never_the_points_own_label(self):
        from zest_jax.baselines.answers import Answers

        scores = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        answers = Answers("victim", scores, None, "logits")
        targets = IPGuard()._targets(answers, 0)
        assert (targets != answers.labels).all()
        assert set(targets.tolist()) == {0, 1, 2}

    def test_the_objective_on_probabilities_is_that_on_logits(self):
        logits = (np.random.default_rng(0).normal(size=(5, 4)) * 3).astype(np.float32)
        given = logits.argmax(1), (logits.argmax(1) + 1) % 4, np.full(5, 0.5, np.float32)
        of_logits = jax.jit(jax.value_and_grad(_near))(logits, *given)
        of_softmax = jax.value_and_grad(lambda z: _near_by_probabilities(jax.nn.softmax(z), *given))
        of_probabilities = jax.jit(of_softmax)(logits)
        np.testing.assert_allclose(of_probabilities[0], of_logits[0], rtol=1e-5)
        np.testing.assert_allclose(of_probabilities[1], of_logits[1], atol=1e-5)

    def test_a_victim_that_answers_with_probabilities_is_led_to_its_targets_too(self):
        box = from_jax(lambda x: jax.nn.softmax(4 * x[:, 0, 0]))
        data = _pixels(*np.random.default_rng(1).random((6, 3)))
        prepared: Any = IPGuard(target="second", margin=0.1, steps=60, step=0.01).prepare(box, data, 6)
        second = np.argsort(box(data.inputs), axis=1)[:, 1]
        rows = np.random.default_rng(0).permutation(6)
        assert prepared.answers.labels.tolist() == second[rows].tolist()

    def test_a_victim_without_gradients_is_refused_with_what_works(self):
        with pytest.raises(
            ValueError, match=f"IPGuard takes gradients of the victim, and host 0 can only be asked; .*: {FREE}$"
        ):
            IPGuard().prepare(on_the_host(0), noise(20), 20)

    def test_one_class_has_no_boundary(self):
        single = from_jax(lambda x: x[:, 0, 0, :1], label="single")
        with pytest.raises(
            ModelOutputError, match="single has one class, and so no boundary between classes; IPGuard needs two"
        ):
            IPGuard().prepare(single, noise(20), 20)

    @pytest.mark.parametrize("wrong", [{"margin": -1}, {"step": 0}, {"steps": 0}])
    def test_settings_out_of_range_are_refused(self, wrong):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"`{name}`.* {wrong[name]}.*; give a margin of 0 or more"):
            IPGuard(**wrong)

    def test_an_unknown_target_is_refused(self):
        with pytest.raises(ValueError, match="`target` is 'nearest'; choose 'random', 'least' or 'second'"):
            IPGuard(target="nearest")


def test_methods_said_to_need_no_gradients_need_none():
    free = [kind.name for kind in METHODS if not {"gradients", "weights"} & set(kind().access)]
    assert ", ".join(free) == FREE


def _pixels(*rows):
    """Images of one pixel."""
    from zest_jax.data import Dataset

    found = points(*rows)
    return Dataset(
        inputs=found,
        labels=np.zeros(len(found), np.int32),
        class_names=("any",),
        mean=(0.5,) * found.shape[-1],
        std=(0.25,) * found.shape[-1],
        name="pixels",
    )


def test_answers_of_zeros_are_no_distance():
    zeros = np.zeros((4, 3))
    assert decision_distances(zeros).tolist() == [0.0, 0.0]


def test_a_margin_without_end_is_refused():
    with pytest.raises(ValueError, match="`margin` is inf"):
        IPGuard(margin=float("inf"))
