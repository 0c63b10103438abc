"""Servers that fail: what may pass is tried again, what will not is told at once, and nothing wrong is kept."""

import json
import socket
import threading

import numpy as np
import pytest

import zest_jax as zest
from zest_jax.errors import MissingExtraError, ModelOutputError, RemoteError


def right_after_two(server, fault):
    server.fault = lambda n: fault if n in (1, 3) else None


@pytest.mark.parametrize(
    "fault", ["drop", "cut", "garbage", 408, 425, 429, 500, 502, 503, (429, {"Retry-After": "0"}), (503, {}, "<html>")]
)
def test_what_may_pass_is_tried_again(ask, server, images, logits, fault):
    right_after_two(server, fault)
    box = ask(inputs_per_request=7, in_flight=1)
    np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
    assert [seen.answered for seen in server.posts] == [False, True, False, True, True]
    assert (box.sent.retries, box.sent.inputs) == (2, 35)
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("drop", "the connection broke (Server disconnected without sending a response.)"),
        ("garbage", "it begins '<html>the proxy says hello</html>'"),
        (500, "the server answered with status 500 Internal Server Error, 'not now'"),
        ((429, {}, "x" * 5000), "status 429 Too Many Requests, 'xxx"),
    ],
)
def test_after_the_last_attempt_the_run_fails_and_keeps_its_answers(ask, server, images, fault, message):
    server.fault = lambda n: None if n == 1 else fault
    box = ask(inputs_per_request=7, in_flight=1, attempts=3)
    with pytest.raises(RemoteError) as caught:
        box(images)
    assert message in str(caught.value)
    assert "at the last of 3 attempts; what was answered is kept in the journal" in str(caught.value)
    assert len(str(caught.value)) < 700
    assert len(server.posts) == 4
    assert box.sent.answered == 7


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "check how it wants its inputs"),
        (401, "give the key that it wants as a header, from an environment variable"),
        (404, "check the URL"),
        (413, "lower `inputs_per_request`"),
        (422, "check how it wants its inputs"),
    ],
)
def test_refusals_are_told_at_once(ask, server, images, status, message):
    server.fault = lambda n: (status, {}, '{"error": "' + "tensor " * 200 + '"}')
    with pytest.raises(RemoteError) as caught:
        ask(in_flight=1)(images)
    text = str(caught.value)
    assert text.startswith(f"localhost/classify: the server refused the request with status {status} ")
    assert '{"error": "tensor tensor' in text
    assert message in text
    assert len(text) < 600
    assert len(server.posts) == 1


def test_redirects_are_not_followed(ask, server, images):
    server.fault = lambda n: (307, {"Location": "https://elsewhere.example/take"})
    with pytest.raises(RemoteError, match="leads elsewhere .status 307, to 'https://elsewhere.example/take'"):
        ask(in_flight=1)(images)
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "answered nan as score 0 of an input; nothing of that answer is kept"),
        ("null", "answered null .no number. where a score belongs"),
        (
            "fewer",
            "answered 6 outputs to a request of 7 inputs; which belongs to which cannot be told, so none is kept",
        ),
        ("more", "answered 8 outputs to a request of 7 inputs"),
        ((200, {}, '{"scores": 3}'), "answered 3 where a list with one output per input belongs"),
        ((200, {}, '{"error": "warming up"}'), "where an object with 'scores' was expected"),
        (
            (200, {}, '{"scores": [[1, 2], [1, 2, 3], 1, 2, 3, 4, 5]}'),
            "answered 2 scores for one input and 4 for another",
        ),
        ((200, {}, '{"scores": [[1e39], [1], [1], [1], [1], [1], [1]]}'), "answered 1e.39 as score 0"),
    ],
)
def test_wrong_answers_are_refused_and_nothing_wrong_is_kept(ask, server, images, logits, tmp_path, fault, message):
    server.fault = lambda n: fault if n == 2 else None
    with pytest.raises(ModelOutputError, match=message):
        ask(journal=tmp_path / "j", inputs_per_request=7, in_flight=1)(images)
    assert len(server.posts) == 2
    server.fault = lambda n: None
    box = ask(journal=tmp_path / "j", inputs_per_request=7, in_flight=1)
    np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
    assert set(server.answered.values()) == {1}


def by_label(scores: list, names: str = "abcd") -> list:
    return [{"label": name, "score": score} for name, score in zip(names, scores, strict=False)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("overloaded", "answered a label alone .'overloaded'."),
        (by_label([1, 2, 3]), r"1 of 4 known classes have no score \('d'\)"),
        (by_label([1, 2, 3, 4], "abce"), "'e' is no known class"),
        ([1, 2, 3], "answered 3 scores for one input"),
    ],
)
@pytest.mark.parametrize("class_names", [None, "abcd"])
def test_answers_without_a_row_do_not_spoil_the_journal(
    ask, server, images, logits, tmp_path, wrong, message, class_names
):
    lists = isinstance(wrong[0], int)
    server.model = lambda values: [row if lists else by_label(row) for row in logits(np.asarray(values)).tolist()]
    body = json.dumps({"scores": [wrong] * 7})
    server.fault = lambda n: (200, {}, body) if n == 2 else None
    settings = {"journal": tmp_path / "j", "inputs_per_request": 7, "in_flight": 1, "class_names": class_names}
    first = ask(**settings)
    with pytest.raises(ModelOutputError, match=message):
        first(images)
    assert (len(server.posts), first.sent.answered) == (2, 7)
    # The same box goes on as well as another one: neither has learnt anything from the wrong answer.
    for box in (first, ask(**settings)):
        np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
    assert (len(server.posts), server.asked) == (4, 28)


def test_what_the_journal_holds_must_go_with_the_settings_before_anything_is_asked(ask, server, images, tmp_path):
    ask(journal=tmp_path / "j")(images[:4])
    asked = len(server.posts)
    with pytest.raises(
        ModelOutputError, match=r"answered 4 scores for one input, and has 3 classes .*so says the journal .*j;"
    ):
        ask(journal=tmp_path / "j", class_names="abc")(images)
    with pytest.raises(ModelOutputError, match="answered scores where labels were announced"):
        ask(journal=tmp_path / "j", answers="labels", n_classes=4)(images)
    with pytest.raises(ValueError, match="give all `class_names` in order, or `n_classes`"):
        ask(journal=tmp_path / "j", answers="labels")
    assert len(server.posts) == asked


def test_an_unreachable_server_is_named_and_costs_nothing(images):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    box = zest.from_http(
        f"http://127.0.0.1:{port}/v1/models/cats:predict", journal=None, attempts=2, backoff=1e-3, budget=100
    )
    with pytest.raises(RemoteError, match=rf"cats: 127.0.0.1:{port} cannot be reached .*, at the last of 2 attempts"):
        box(images)
    assert box.sent == (0, 0, 0, 0)
    nowhere = zest.from_http("http://no-such-host.invalid/predictions/m", journal=None, attempts=1)
    with pytest.raises(RemoteError, match=r"no-such-host\.invalid cannot be reached"):
        nowhere(images)
    box.close()
    nowhere.close()


def test_time_outs_are_tried_again(ask, server, images, logits):

    over = threading.Event()
    server.before_answer = lambda number: number == 1 and over.wait(20)
    box = ask(inputs_per_request=21, timeout=0.3, in_flight=1)
    np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
    over.set()
    assert len(server.posts) == 2
    server.before_answer = lambda number: over.clear() or over.wait(20)
    with pytest.raises(RemoteError, match=r"no answer within 0.3 s, at the last of 1 attempts"):
        ask(timeout=0.3, attempts=1, label="slow")(images)
    over.set()


def test_without_httpx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(
        MissingExtraError, match=r'httpx is not installed; install it with `pip install "zest_jax\[remote\]"`'
    ):
        zest.from_http("https://host.example/predictions/m", journal=None)
