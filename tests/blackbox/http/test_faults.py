"""Servers that fail: what may pass is tried again, what will not is told at once, and nothing wrong is kept."""

import concurrent.futures
import json
import logging
import socket
import sqlite3
import subprocess
import threading
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from serving import serving

import zest_jax as zest
from zest_jax.blackbox.http.exchange import Exchange
from zest_jax.blackbox.http.journal import Journal
from zest_jax.blackbox.http.pacing import Pace, Stopped, backoff
from zest_jax.errors import FileFormatError, MissingExtraError, ModelOutputError, RemoteError


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
    import threading

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


class TestWaiting:
    def test_a_server_says_how_long_to_wait(self, ask, server, images, caplog):
        waited = []
        server.fault = lambda n: (429, {"Retry-After": "7"}) if n == 1 else None
        box = ask(inputs_per_request=21, in_flight=1)
        box._exchange.pace = Pace(None, clock=lambda: 0.0, wait=waited.append)
        with caplog.at_level(logging.WARNING):
            box(images)
        assert waited[0] == 7
        assert "waiting 7 s before attempt 2" in caplog.text

    def test_other_workers_wait_too(self):
        waited = []
        pace = Pace(2, clock=lambda: 0.0, wait=waited.append)
        pace.hold(30)
        pace.turn()
        pace.turn()
        assert waited == [30, 30.5]

    def test_workers_that_wait_already_wait_longer(self):
        waits, waiting, held = [], threading.Barrier(3), threading.Event()

        def wait(seconds):
            waits.append(seconds)
            if seconds < 30:
                waiting.wait(20)
                assert held.wait(20)

        pace = Pace(2, clock=lambda: 0.0, wait=wait)
        pace.turn()
        workers = [threading.Thread(target=pace.turn) for _ in range(2)]
        for worker in workers:
            worker.start()
        waiting.wait(20)  # both workers wait for their turn
        pace.hold(30)
        held.set()
        for worker in workers:
            worker.join(20)
        # Once more, until the pause is over, and one after another.
        assert sorted(waits) == [0.5, 1.0, 30.0, 30.5]

    def test_too_long_a_pause_ends_the_run(self, ask, server, images):
        server.fault = lambda n: (503, {"Retry-After": "3600"})
        with pytest.raises(RemoteError, match=r"asks to wait 3,600 s, longer than `longest_wait` \(300 s\)"):
            ask(in_flight=1)(images)
        assert len(server.posts) == 1

    def test_waits_double_with_jitter(self):
        for attempt in range(1, 12):
            waits = [backoff(attempt, 0.5) for _ in range(50)]
            whole = min(0.5 * 2 ** (attempt - 1), 60)
            assert whole / 2 <= min(waits) < max(waits) <= whole

    def test_stopping_ends_a_wait(self):
        pace = Pace(None)
        pace.stop()
        with pytest.raises(Stopped):
            pace.sleep(600)
        with pytest.raises(Stopped):
            pace.turn()
        pace.go()
        pace.turn()


class TestCertificates:
    @pytest.fixture(scope="class")
    def pair(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("tls")
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext "
            "subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
        )
        try:
            subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=60)
        except FileNotFoundError:
            pytest.skip("there is no openssl to make a certificate with")
        return str(folder / "cert.pem"), str(folder / "key.pem")

    def test_one_that_nobody_vouches_for_is_refused_at_once(self, pair, images):
        with serving(lambda values: values, tls=pair) as server:
            box = zest.from_http(server.url("/v1/models/m:predict"), journal=None)
            with pytest.raises(RemoteError, match=r"certificate of localhost:\d+ cannot be trusted .self.signed.*`ca`"):
                box(images)
            assert server.posts == []
            assert box.sent.inputs == 0
            box.close()

    def test_an_authority_of_ones_own_can_be_named(self, pair, images):
        with serving(lambda values: np.asarray(values).mean((1, 2)).tolist(), tls=pair) as server:
            box = zest.from_http(server.url("/v1/models/m:predict"), journal=None, ca=pair[0])
            np.testing.assert_allclose(box(images), images.mean((1, 2)), rtol=1e-5)
            box.close()

    def test_bad_files_are_named(self, pair, tmp_path):
        url = "https://localhost/predictions/m"
        with pytest.raises(FileNotFoundError, match="there is no file .*none.pem"):
            zest.from_http(url, journal=None, ca=tmp_path / "none.pem")
        (tmp_path / "bad.pem").write_text("no certificate")
        with pytest.raises(ValueError, match=r"bad.pem holds no certificate in PEM form"):
            zest.from_http(url, journal=None, ca=tmp_path / "bad.pem")


class TestSecrets:
    KEY = "sk-very-secret-0123456789"

    def test_they_go_to_the_server_and_nowhere_else(self, ask, server, probes, tmp_path, monkeypatch, caplog, capsys):
        monkeypatch.setenv("SERVICE_KEY", self.KEY + "\n")  # as a file of keys ends
        with caplog.at_level(logging.DEBUG):
            box = ask(journal=tmp_path / "j", headers={"Authorization": "Bearer ${SERVICE_KEY}", "X-Team": "blue"})
            signature = zest.sign(box, probes, batch_size=32, progress=True)
        assert {seen.headers["Authorization"] for seen in server.posts} == {f"Bearer {self.KEY}"}
        assert {seen.headers["X-Team"] for seen in server.posts} == {"blue"}
        signature.save(tmp_path / "s.sig")
        box.close()
        for path in tmp_path.iterdir():
            assert self.KEY.encode() not in path.read_bytes(), path
        assert self.KEY not in caplog.text
        out, err = capsys.readouterr()
        assert self.KEY not in out + err
        assert self.KEY not in repr(signature.settings)

    @pytest.mark.parametrize("status", [401, 500])
    def test_messages_do_not_repeat_what_the_server_repeats(self, ask, server, images, monkeypatch, status):
        monkeypatch.setenv("SERVICE_KEY", self.KEY)
        server.fault = lambda n: (status, {}, f"key {self.KEY} is not known")
        with pytest.raises(RemoteError, match=r"'key \[secret\] is not known'"):
            ask(headers={"X-Api-Key": "$SERVICE_KEY"}, attempts=2, in_flight=1)(images)

    def test_what_would_leak_or_cannot_travel_is_refused(self, ask, monkeypatch):
        monkeypatch.setenv("BAD_KEY", f"{self.KEY}\nX-More: 1")
        monkeypatch.delenv("NO_KEY", raising=False)
        for headers, message in (
            ({"Authorization": self.KEY}, "the header Authorization holds its secret in the open"),
            ({"X-Api-Key": "$NO_KEY"}, "the environment variable NO_KEY, which the header X-Api-Key takes, is not set"),
            ({"X-Api-Key": "$BAD_KEY"}, "the environment variable BAD_KEY holds characters that no header can"),
            ({"X Team": "blue"}, "'X Team' is no name of a header"),
            ({"X-Team": "blåbär"}, "the header X-Team holds characters"),
        ):
            with pytest.raises(ValueError, match=".") as caught:
                ask(headers=headers)
            assert message in str(caught.value)
            assert self.KEY not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("https://me:pass1234@host.example/predictions/m", "the URL of host.example holds a name or password"),
            ("https://host.example/predictions/m?api_key=abcd", "holds 'api_key', which sounds like a secret"),
            ("https:///predictions/m", "is no URL of a service"),
            ("https://host.example/f?code=pass1234", "holds 'code', which sounds like a secret"),
            ("https://host.example/f?sv=2024&sig=pass1234", "holds 'sig', which sounds like a secret"),
            ("https://host.example/f?a=1;jwt=pass1234#x", "holds 'jwt', which sounds like a secret"),
            ("https://host.example/f?userPwd=pass1234", "holds 'userPwd', which sounds like a secret"),
            ("https://host.example:99999/x", "is no URL"),
            ("https://me:pass1234@host.example:99999/x", "the URL of host.example holds a name or password"),
            ("https://me:pass1234@/x", "holds a name or password"),
            ("https://me:pass1234/0@host.example/x", "is no URL"),
            ("https://me:pass1234@[host/x", "is no URL"),
            ("https://me:pass1234@ho\u2100st.example/x", "is no URL"),
            ("me:pass1234@host.example/x", "is no URL of a service"),
            ("ftp://host.example/x", "is no URL of a service"),
            ("https://host.example/classify", "does not tell how it is asked"),
        ],
    )
    def test_urls(self, url, message):
        with pytest.raises(ValueError, match=".") as caught:
            zest.from_http(url, journal=None)
        assert message in str(caught.value)
        assert "pass1234" not in str(caught.value)
        assert "abcd" not in str(caught.value)
        # Nor does a traceback, which shows what an error came from.
        assert "pass1234" not in "".join(traceback.format_exception_only(caught.value))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_templates_hold_names_of_variables(self, ask, server, probes, tmp_path, monkeypatch, caplog, capsys):
        monkeypatch.setenv("SERVICE_KEY", self.KEY + "\n")
        monkeypatch.setenv("MODEL", "cats")
        request = {"api_key": "${SERVICE_KEY}", "inputs": "$inputs", "model": "big ${MODEL}", "max_tokens": 5}
        bodies = []
        real = Exchange.post
        monkeypatch.setattr(
            Exchange, "post", lambda self, url, body, *a, **k: bodies.append(body) or real(self, url, body, *a, **k)
        )
        box = ask(journal=tmp_path / "j", request=request)
        signature = zest.sign(box, probes, batch_size=32, progress=True)
        signature.save(tmp_path / "s.sig")
        sent = {(found["api_key"], found["model"], found["max_tokens"]) for found in map(json.loads, bodies)}
        assert sent == {(self.KEY, "big cats", 5)}
        assert signature.settings["model"]["request"] == request
        out, err = capsys.readouterr()
        box.close()
        held = [path.read_bytes() for path in tmp_path.iterdir()]
        for text in (*held, *(one.encode() for one in (out, err, caplog.text, repr(signature.settings)))):
            assert self.KEY.encode() not in text
        # Another key, under another name, asks the same; another model does not.
        monkeypatch.setenv("OTHER_KEY", "sk-another")
        assert ask(request={**request, "api_key": "${OTHER_KEY}"}).endpoint == box.endpoint
        monkeypatch.setenv("MODEL", "dogs")
        assert ask(request=request).endpoint != box.endpoint

    @pytest.mark.parametrize(
        ("part", "message"),
        [
            ({"api_key": KEY}, "`request` holds 'api_key', which sounds like a secret, in the open"),
            ({"more": [{"sas": {"value": KEY}}]}, "`request` holds 'sas'"),
            ({"password": 12345678}, "`request` holds 'password'"),
            ({"key": "${NO_KEY}"}, "the environment variable NO_KEY, which `request` takes, is not set"),
        ],
    )
    def test_open_secrets_in_templates_are_refused(self, ask, monkeypatch, part, message):
        monkeypatch.delenv("NO_KEY", raising=False)
        for request in ({"inputs": "$inputs", **part}, json.dumps({"inputs": "$inputs", **part})):
            with pytest.raises(ValueError, match=".") as caught:
                ask(request=request)
            assert message in str(caught.value)
            assert self.KEY not in str(caught.value)
            assert "12345678" not in str(caught.value)
        with pytest.raises(ValueError, match="`request` is no JSON") as caught:
            ask(request='{"api_key": "' + self.KEY)
        assert self.KEY not in str(caught.value)
        harmless = {
            "max_tokens": 5,
            "tokenizer": "bert",
            "keywords": ["a"],
            "author": "b",
            "auth": True,
            "key": "$inputs",
        }
        assert ask(request=harmless).settings["request"] == harmless

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            ({"scores": "bad key {}"}, r"answered .bad key \[secret\]. where a list"),
            ({"error": "x" * 140 + "{}"}, r"x\[secret\]\.\.\. "),
            ({"scores": [[1, "bad key {}"]] * 21}, r"answered 'bad key \[secret\]', a str"),
            ({"scores": ["bad key {}"] * 21}, r"answered a label alone .'bad key \[secret\]'."),
        ],
    )
    @pytest.mark.parametrize("key", [KEY, 'sk-"quoted\\0123456789'])
    def test_neither_do_messages_about_answers(self, ask, server, images, monkeypatch, said, message, key):
        monkeypatch.setenv("SERVICE_KEY", key)
        body = json.loads(json.dumps(said).replace("{}", json.dumps(key)[1:-1]))
        server.fault = lambda n: (200, {}, json.dumps(body))
        with pytest.raises(ModelOutputError, match=message) as caught:
            ask(headers={"X-Api-Key": "$SERVICE_KEY"}, inputs_per_request=21)(images)
        assert "sk-" not in str(caught.value)
        server.metadata = {"outputs": f"key {key} is not known"}
        with pytest.raises(ModelOutputError, match=r"key \[secret\] is not known"):
            ask("/v2/models/m", headers={"X-Api-Key": "$SERVICE_KEY"})


class TestJournals:
    def test_other_files_are_not_touched(self, ask, tmp_path):
        (tmp_path / "text").write_text("something else\n" * 100)
        with pytest.raises(FileFormatError, match="text is no journal, or damaged"):
            ask(journal=tmp_path / "text")
        assert (tmp_path / "text").read_text() == "something else\n" * 100
        with sqlite3.connect(tmp_path / "db") as other:
            other.execute("CREATE TABLE mine (x)")
        other.close()
        with pytest.raises(FileFormatError, match="db is another SQLite database, not a journal"):
            ask(journal=tmp_path / "db")
        with pytest.raises(FileFormatError, match="is a folder, not a journal"):
            ask(journal=tmp_path)
        with pytest.raises(FileNotFoundError, match="the folder .*none does not exist"):
            ask(journal=tmp_path / "none" / "j")

    def test_later_versions_are_refused(self, ask, tmp_path):
        ask(journal=tmp_path / "j").close()
        with sqlite3.connect(tmp_path / "j") as journal:
            journal.execute("PRAGMA user_version = 7")
        journal.close()
        with pytest.raises(FileFormatError, match="journal of version 7, and this zest_jax reads version 1"):
            ask(journal=tmp_path / "j")

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder here that takes no file, whoever asks")
    def test_a_folder_that_takes_no_file_is_named(self, ask):
        with pytest.raises(OSError, match="the journal /proc/self/j cannot be used"):
            ask(journal="/proc/self/j")

    def test_damage_is_named(self, ask, images, tmp_path):
        box = ask(journal=tmp_path / "j")
        box(images)
        box.close()
        content = bytearray((tmp_path / "j").read_bytes())
        content[4096:] = bytes(len(content) - 4096)
        (tmp_path / "j").write_bytes(content)
        with pytest.raises(FileFormatError, match="j is no journal, or damaged"):
            ask(journal=tmp_path / "j")(images)

    def test_many_may_make_the_same_journal_at_once(self, tmp_path):
        for n in range(6):
            together = threading.Barrier(8)

            def make(path, together=together):
                together.wait(20)
                return Journal(path)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                journals = [future.result() for future in [pool.submit(make, tmp_path / f"{n}") for _ in range(8)]]
            for i, journal in enumerate(journals):
                journal.spend("endpoint", i, retry=False, budget=None)
                assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert {journal.total().inputs for journal in journals} == {28}
            for journal in journals:
                journal.close()

    def test_a_journal_that_another_is_making_is_waited_for(self, tmp_path):
        other = sqlite3.connect(tmp_path / "j", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE half_done (x)")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            made = pool.submit(Journal, tmp_path / "j")
            with pytest.raises(concurrent.futures.TimeoutError):
                made.result(0.2)
            other.execute("ROLLBACK")
            journal = made.result(20)
        assert journal.total() == (0, 0, 0, 0)
        journal.close()
        other.close()

    def test_two_processes_share_a_budget(self, ask, server, images, tmp_path):
        # Two boxes with connections of their own, which is what two processes have.
        boxes = [ask(journal=tmp_path / "j", budget=24, inputs_per_request=3) for _ in range(2)]
        boxes[0](images[:12])
        boxes[1](images[12:])
        assert boxes[0].sent == boxes[1].sent
        with pytest.raises(zest.ZestError, match=r"the budget of 24 inputs is spent: 24 were sent"):
            boxes[0](1 - images[:4])
        assert server.asked <= 24
        assert Counter(server.answered.values())[1] == server.asked


def test_without_httpx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(
        MissingExtraError, match=r'httpx is not installed; install it with `pip install "zest_jax\[remote\]"`'
    ):
        zest.from_http("https://host.example/predictions/m", journal=None)
