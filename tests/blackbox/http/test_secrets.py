"""Certificates and secrets: whom a client trusts, and what it never writes down."""

import json
import logging
import subprocess
import traceback

import numpy as np
import pytest
from serving import serving

import zest_jax as zest
from zest_jax.blackbox.http.exchange import Exchange
from zest_jax.errors import ModelOutputError, RemoteError


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
