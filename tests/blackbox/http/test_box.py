"""A remote model gives the signature that it gives in process, and every question is paid for once."""

import threading

import numpy as np
import pytest
from serving import hash_of, serving

import zest_jax as zest
from zest_jax.blackbox.batches import default_batch_size
from zest_jax.blackbox.http.pacing import Pace
from zest_jax.cost import costs_of
from zest_jax.errors import BudgetError, ModelOutputError, ProbeMismatchError


def same(a: zest.Signature, b: zest.Signature) -> None:
    scale = np.abs(b.weights).max()
    np.testing.assert_allclose(a.weights, b.weights, rtol=1e-5, atol=1e-5 * scale)


def test_signature_is_that_of_the_model_in_process(ask, server, probes, expected, tmp_path):
    box = ask(journal=tmp_path / "j", inputs_per_request=5, in_flight=3)
    signature = zest.sign(box, probes, batch_size=16, check=False)
    same(signature, expected)
    assert signature.settings["model"]["protocol"] == "template"
    assert set(server.answered.values()) == {1}
    assert max(len(seen.inputs) for seen in server.posts) == 5
    # Equal inputs are asked once, whatever their masks, and the last batch is not filled up.
    assert server.asked == box.sent.inputs == box.sent.answered <= probes.n_queries
    assert box.sent.requests == len(server.posts)


def test_checks_really_ask_again_and_cost_what_was_told(ask, server, probes, tmp_path, capsys):
    box = ask(journal=tmp_path / "j", budget=10_000)
    zest.sign(box, probes, batch_size=16, progress=True)
    told = capsys.readouterr().err
    assert f"asks at most {probes.n_queries + 32} inputs (32 of them to check that it is deterministic)" in told
    assert "0 of " in told
    assert "budget 10,000 inputs, 0 spent" in told
    counts = sorted(server.answered.values())
    # Of the first batch: once for real, once the same again, and once in the rearranged batch, its first half twice.
    assert sum(counts) - len(counts) == 32
    assert server.asked <= probes.n_queries + 32


def test_a_model_that_answers_at_random_is_found(ask, server, probes):
    rng = np.random.default_rng(0)
    server.model = lambda values: rng.normal(size=(len(values), 4)).tolist()
    with pytest.raises(ModelOutputError, match="not deterministic"):
        zest.sign(ask(), probes, batch_size=16)


def test_a_second_run_with_the_journal_asks_nothing(ask, server, probes, expected, tmp_path):
    zest.sign(ask(journal=tmp_path / "j"), probes, batch_size=16)
    asked = len(server.posts)
    again = ask(journal=tmp_path / "j", budget=0, inputs_per_request=3)
    same(zest.sign(again, probes, batch_size=16), expected)
    assert len(server.posts) == asked
    ridge = zest.sign(again, probes, batch_size=16, ridge=0.5)  # other fits need no other answers
    assert not np.allclose(ridge.weights, expected.weights)
    assert len(server.posts) == asked


def test_answers_come_in_order_whatever_the_order_of_requests(ask, server, images, logits):
    first = threading.Event()

    def last_first(number):
        # The request that came first is answered last.
        if number == 1:
            assert first.wait(20)
        elif number == 4:
            first.set()

    server.before_answer = last_first
    box = ask(inputs_per_request=6, in_flight=4)
    np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
    assert len(server.posts) == 4


@pytest.mark.parametrize("in_flight", [1, 3])
def test_as_many_requests_as_allowed_are_in_flight(ask, server, images, logits, in_flight):
    together = threading.Barrier(in_flight)

    def wait_for_others(number):
        if number <= 6:  # of seven requests; were fewer sent at once, the barrier would break
            together.wait(20)

    server.before_answer = wait_for_others
    box = ask(inputs_per_request=3, in_flight=in_flight)
    np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
    assert server.most_inside == in_flight


def test_requests_leave_no_faster_than_the_rate(ask, server, images):
    now = [0.0]
    lock = threading.Lock()

    def wait(seconds):
        with lock:
            now[0] += seconds

    server.clock = lambda: now[0]
    box = ask(inputs_per_request=3, in_flight=1, rate_limit=4)
    box._exchange.pace = Pace(4, clock=lambda: now[0], wait=wait)
    box(images)
    arrivals = [seen.at for seen in server.posts]
    assert len(arrivals) == 7
    assert np.diff(arrivals) == pytest.approx(0.25)


def test_a_rate_is_shared_by_all_workers(ask, server, images):
    box = ask(inputs_per_request=3, in_flight=4, rate_limit=1000)
    turns = []
    box._exchange.pace = Pace(8, clock=lambda: 0.0, wait=turns.append)
    box(images)
    assert sorted(turns) == pytest.approx([n / 8 for n in range(1, 7)])


def test_equal_inputs_are_asked_once(ask, server, images, logits):
    twice = np.concatenate([images[:3], images[:3]])
    box = ask()
    np.testing.assert_allclose(box(twice), logits(twice), rtol=1e-5)
    assert server.asked == 3
    assert box(images[:0]).shape == (0, 4)


def test_nothing_is_shared_with_another_endpoint(ask, server, images, tmp_path, monkeypatch):
    ask(journal=tmp_path / "j")(images)
    other = ask(journal=tmp_path / "j", headers={"X-Model": "b"})
    other(images)
    assert server.asked == 2 * len(images)
    assert other.sent.inputs == len(images)
    # The name of the variable that holds a key says nothing about the model.
    for name in ("ONE_KEY", "OTHER_KEY"):
        monkeypatch.setenv(name, f"value of {name}")
        ask(journal=tmp_path / "j", headers={"X-Model": "b", "Authorization": f"Bearer ${name}"})(images)
    assert server.asked == 3 * len(images)
    # What another variable holds may name it.
    for n, model in enumerate(("a", "b", "a")):
        monkeypatch.setenv("MODEL", f"model {model}")
        box = ask(journal=tmp_path / "j", headers={"X-Model": "$MODEL"})
        box(images)
        assert server.asked == (4 + min(n, 1)) * len(images)
        assert box.sent.answered == len(images)


def test_a_failed_run_goes_on_and_asks_no_answered_question_twice(ask, server, probes, expected, tmp_path):
    box = ask(journal=tmp_path / "j", inputs_per_request=2, in_flight=4)
    server.fault = lambda n: 400 if n == 20 else None
    with pytest.raises(zest.ZestError, match=r"refused the request with status 400 Bad Request, 'not now'"):
        zest.sign(box, probes, batch_size=16, check=False, checkpoint=tmp_path / "partial")
    # What was on its way was waited for and kept.
    assert box.sent.answered == sum(server.answered.values())
    server.fault = lambda n: None
    again = ask(journal=tmp_path / "j", inputs_per_request=2, in_flight=4)
    same(zest.sign(again, probes, batch_size=16, check=False, checkpoint=tmp_path / "partial"), expected)
    assert set(server.answered.values()) == {1}
    assert again.sent.inputs == server.asked


def test_an_interrupt_keeps_what_is_on_its_way(ask, server, images, tmp_path, monkeypatch):
    import concurrent.futures

    box = ask(journal=tmp_path / "j", inputs_per_request=3, in_flight=2)
    arrived = threading.Event()
    server.before_answer = lambda number: arrived.set()

    def interrupted(*_, **__):
        assert arrived.wait(20)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(concurrent.futures, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            box(images)
    assert 0 < box.sent.answered == sum(server.answered.values()) < len(images)
    server.before_answer = lambda number: None
    box(images)
    assert set(server.answered.values()) == {1}


def test_several_models_share_a_pass(ask, server, probes, expected, tmp_path):
    local = zest.from_callable(lambda x: x.mean((1, 2)), label="local")
    signed = zest.sign_many([local, ask(journal=tmp_path / "j")], probes, batch_size=16)
    same(signed[1], expected)


def test_checkpoints_of_another_endpoint_are_refused(ask, server, probes, tmp_path):
    server.fault = lambda n: 400 if n == 4 else None
    with pytest.raises(zest.ZestError, match="status 400"):
        zest.sign(ask(label="m"), probes, batch_size=16, check=False, checkpoint=tmp_path / "c")
    other = ask(label="m", headers={"X-Model": "b"})
    with pytest.raises(ProbeMismatchError, match="answers was"):
        zest.sign(other, probes, batch_size=16, check=False, checkpoint=tmp_path / "c")


class TestBudget:
    def test_too_small_a_budget_is_refused_before_the_first_question(self, ask, server, probes):
        n = probes.n_queries
        with pytest.raises(BudgetError) as caught:
            zest.sign(ask(budget=n), probes, batch_size=16)
        text = str(caught.value)
        assert f"asks at most {n + 32} inputs (32 of them to check that it is deterministic)" in text
        assert "so 32 are missing" in text
        references = int(text.split("It buys ")[1].split()[0])
        assert f"{references} references with 40 masks each (`n_references={references}`)" in text
        start = probes.distinct.start
        assert start[references] <= n - 32 < start[references + 1]
        assert "(`check=False` saves 32)" in text
        assert f"give `budget={n + 32}`" in text
        assert server.posts == []
        with pytest.raises(BudgetError, match="does not buy one reference"):
            zest.query(ask(budget=2), probes, batch_size=16, check=False)
        assert server.posts == []

    def test_what_it_is_said_to_buy_can_be_bought(self, ask, probes):
        from worlds import make_probes

        with pytest.raises(BudgetError) as caught:
            zest.sign(ask(budget=70), probes, batch_size=16, check=False)
        masks = int(str(caught.value).split("with ")[2].split(" masks")[0])
        assert f"5 references with {masks} masks each" in str(caught.value)
        fewer = make_probes(n=5, samples=masks)
        assert zest.sign(ask(budget=70), fewer, batch_size=16, check=False).n_classes == 4

    def test_a_budget_that_just_reaches_is_enough(self, ask, server, probes, expected):
        box = ask(budget=probes.n_queries)
        same(zest.sign(box, probes, batch_size=16, check=False), expected)
        assert server.asked <= probes.n_queries

    def test_it_is_never_exceeded_by_repeated_requests(self, ask, server, images, tmp_path):
        server.fault = lambda n: 500 if n in (1, 2) else None
        box = ask(journal=tmp_path / "j", budget=24, inputs_per_request=3, in_flight=1)
        with pytest.raises(
            BudgetError, match=r"budget of 24 inputs is spent: 24 were sent .*request of 3 does not fit"
        ):
            box(images)
        assert server.asked == 24 == box.sent.inputs
        assert (box.sent.retries, box.sent.answered) == (2, 18)
        # The same holds for the next run, which goes on with a larger one.
        more = ask(journal=tmp_path / "j", budget=27, inputs_per_request=3, in_flight=1)
        more(images)
        assert server.asked == 27
        assert set(server.answered.values()) == {1}

    def test_it_is_one_for_all_that_a_journal_holds(self, ask, server, probes, images, tmp_path):
        ask(journal=tmp_path / "j", budget=30)(images)
        for settings in (
            {"headers": {"X-Model": "b"}},
            {"answer": {"scores": ["$output"]}},
            {"request": {"inputs": "$inputs", "top": 5}},
        ):
            box = ask(journal=tmp_path / "j", budget=30, inputs_per_request=21, **settings)
            assert box.sent.inputs == 0
            (cost,) = costs_of([box], probes, batch_size=16)
            assert cost.spent == 21
            assert cost.left is not None
            assert cost.left < 0
            with pytest.raises(BudgetError, match=r"budget of 30 inputs is spent: 21 were sent"):
                box(images)
        assert server.asked == 21

    def test_models_signed_together_share_the_budget_of_their_journal(self, ask, server, probes, tmp_path):
        n = probes.n_queries
        boxes = [
            ask(journal=tmp_path / "j", budget=2 * n - 1, label=name, headers={"X-Model": name}) for name in ("a", "b")
        ]
        with pytest.raises(BudgetError, match=rf"^b: .* 0 spent, {n} for other models .*, so 1 are missing") as caught:
            zest.sign_many(boxes, probes, batch_size=16, check=False)
        assert f"give `budget={2 * n}`" in str(caught.value)
        assert server.posts == []
        alone = [ask(journal=tmp_path / name, budget=n) for name in ("j1", "j2")]
        assert [cost.others for cost in costs_of(alone, probes, batch_size=16)] == [0, 0]

    def test_what_is_answered_is_told_and_free(self, ask, server, probes, tmp_path, capsys):
        box = ask(journal=tmp_path / "j", in_flight=1, inputs_per_request=4)
        server.fault = lambda n: 400 if n == 10 else None
        with pytest.raises(zest.ZestError, match="status 400"):
            zest.sign(box, probes, batch_size=16, check=False)
        assert box.sent.answered == sum(server.answered.values()) > 30
        inputs = []
        zest.query(
            zest.from_callable(lambda x: inputs.extend(x.tolist()) or x.mean((1, 2))), probes, batch_size=1, check=False
        )
        kept = sum(hash_of(one) in server.answered for one in inputs)
        server.fault = lambda n: None
        asked, requests = server.asked, len(server.posts)
        capsys.readouterr()
        again = ask(journal=tmp_path / "j", budget=1000, inputs_per_request=4)
        zest.sign(again, probes, batch_size=16, check=False, progress=True)
        told = capsys.readouterr().err
        new = server.asked - asked
        assert f"asks {new} inputs in {len(server.posts) - requests} requests; " in told
        assert (
            f"; {kept} of {probes.n_queries} questions are answered in the journal already; budget 1,000 inputs, {asked} spent"
            in told
        )


def test_a_batch_fills_the_requests_that_may_be_in_flight(ask, server, probes):
    small, large = ask(), ask(in_flight=2, inputs_per_request=8)
    assert default_batch_size((224, 224, 3), [small]) == 64
    assert default_batch_size((8, 8, 3), [large]) == default_batch_size((), [large]) == 16
    assert default_batch_size((8, 8, 3), [ask("/predictions/m")]) == 16
    assert default_batch_size((2000, 2000, 3), [ask(in_flight=64)]) == 16  # memory has an end
    zest.sign(large, probes)
    assert max(len(seen.inputs) for seen in server.posts) == 8


def test_callbacks_are_refused(ask, probes):
    with pytest.raises(ValueError, match="asked over the network, which compiled code must not wait for"):
        zest.sign(ask(), probes, mode="callback")


def test_texts(probes, tmp_path):
    from worlds import REVIEWS

    texts = zest.text_probes(REVIEWS, 4, 30)

    def count(batch):
        return [[text.count("good"), text.count("bad"), len(text)] for text in batch]

    expected = zest.sign(zest.from_texts(count), texts)
    with serving(count) as server:
        box = zest.from_http(
            server.url(),
            journal=tmp_path / "j",
            modality="text",
            request={"inputs": "$inputs"},
            answer={"scores": "$outputs"},
        )
        same(zest.sign(box, texts), expected)
        with pytest.raises(ValueError, match="takes texts, and the probes are images"):
            zest.sign(box, probes)
        box.close()


def test_sounds(tmp_path):
    rng = np.random.default_rng(0)
    sounds = rng.uniform(-0.5, 0.5, (4, 400)).astype(np.float32)
    clips = zest.audio_probes(sounds, 3, 30, rate=8000, segmenter_settings={"n_windows": 4})

    def power(batch):
        return (np.asarray(batch).reshape(len(batch), 4, -1) ** 2).mean(-1).tolist()

    expected = zest.sign(zest.from_callable(power, rate=8000), clips)
    with serving(power) as server:
        for path, settings in (("/v1/models/m:predict", {"encoding": "wav"}), ("/predictions/m", {})):
            box = zest.from_http(server.url(path), journal=None, modality="audio", rate=8000, **settings)
            signature = zest.sign(box, clips, batch_size=64, check=False)
            atol = 1e-3 * np.abs(expected.weights).max()  # 16 bits
            np.testing.assert_allclose(signature.weights, expected.weights, atol=atol)
            box.close()
        assert all(seen.answered for seen in server.posts)
