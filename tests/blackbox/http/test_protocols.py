"""KServe, TorchServe and templates: what is sent, what is understood, and what is said where it is not."""

import json

import numpy as np
import pytest
from serving import serving

import zest_jax as zest
from zest_jax.blackbox.http.encoding import Encoder
from zest_jax.blackbox.http.protocols import TemplateProtocol, protocol_of
from zest_jax.blackbox.http.template import AnswerTemplate, RequestTemplate
from zest_jax.errors import ModelOutputError, RemoteError


def tensors(*, datatype="FP32", shape=(-1, 8, 8, 3), outputs=(("scores", "FP32", [-1, 4]),), **more):
    return {
        "name": "m",
        "versions": ["1"],
        "platform": "test",
        "inputs": [{"name": "pixels", "datatype": datatype, "shape": list(shape)}],
        "outputs": [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in outputs],
        **more,
    }


class TestKServe:
    def test_the_server_tells_names_layout_and_classes(self, ask, server, images, logits):
        names = {"parameters": {"class_names": ["a", "b", "c", "d"]}}
        server.metadata = tensors(shape=(-1, 3, 8, 8), **names)
        server.model = lambda values: logits(np.asarray(values, np.float32).transpose(0, 2, 3, 1)).tolist()
        for path in ("/v2/models/m", "/v2/models/m/infer", "/v2/models/m/versions/1"):
            box = ask(path)
            np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
            assert (box.label, box.spec.layout, box.class_names) == ("m", "NCHW", ("a", "b", "c", "d"))
            assert box.url == server.url(path.removesuffix("/infer") + "/infer")
        assert box.settings["layout_from"] == "input shape"
        assert (box.settings["input_name"], box.settings["output_name"]) == ("pixels", "scores")
        assert next(seen.path for seen in server.seen if seen.method == "GET") == "/v2/models/m"

    def test_uint8_pixels_are_rounded(self, ask, server, images, logits):
        server.metadata = tensors(datatype="UINT8")
        server.model = lambda values: logits(np.asarray(values, np.float32) / 255).tolist()
        box = ask("/v2/models/m")
        np.testing.assert_allclose(box(images), logits(np.rint(images * 255) / 255), rtol=1e-4, atol=1e-4)
        with pytest.raises(ValueError, match="takes uint8 pixels, so it normalises them itself"):
            ask("/v2/models/m", mean=[0.5])

    def test_strings_are_texts_or_files(self, ask, server, images, logits):
        import base64

        from serving import file_content

        server.metadata = tensors(datatype="BYTES", shape=[-1])
        server.model = lambda values: logits(
            np.asarray([file_content(base64.b64decode(one)) for one in values], np.float32)
        ).tolist()
        pixels = np.rint(images * 255) / 255
        np.testing.assert_allclose(ask("/v2/models/m")(images), logits(pixels), rtol=1e-4, atol=1e-4)
        server.model = lambda values: [[float(len(text)), 1.0] for text in values]
        texts = ask("/v2/models/m", modality="text")
        assert texts(["fig", "", "å\U0001f600"]).tolist() == [[3, 1], [0, 1], [2, 1]]
        with pytest.raises(ValueError, match=r"takes strings .BYTES.*set `encoding`"):
            ask("/v2/models/m", encoding="numbers")

    def test_labels_alone(self, ask, server, images):
        server.metadata = tensors(outputs=[("scores", "BYTES", [-1])])
        server.model = lambda values: ["dog"] * (len(values) - 1) + ["cat"]
        box = ask("/v2/models/m", answers="labels", class_names=["cat", "dog"], inputs_per_request=3)
        assert box(images[:3]).tolist() == [[0, 1], [0, 1], [1, 0]]
        assert box.returns == "probabilities"

    def test_another_version_behind_the_address_is_noticed(self, ask, server, images, tmp_path):
        server.metadata = tensors()
        ask("/v2/models/m", journal=tmp_path / "j")(images[:5])
        server.version = "2"
        with pytest.raises(ModelOutputError, match="now answers with model_version '2', earlier with '1'"):
            ask("/v2/models/m", journal=tmp_path / "j")(images)
        assert ask("/v2/models/m")(images).shape == (21, 4)

    @pytest.mark.parametrize(
        ("metadata", "settings", "message"),
        [
            ({"hello": 1}, {}, "where the metadata of the Open Inference Protocol were expected"),
            (tensors(datatype="INT64"), {}, "takes INT64; inputs of FP32, FP64, FP16, UINT8 and BYTES are supported"),
            (tensors(inputs=[{"name": "a"}, {"name": "b"}]), {}, "takes 2 inputs .a, b."),
            (
                tensors(outputs=[("a", "FP32", [-1, 4]), ("b", "FP32", [-1, 9])]),
                {},
                "outputs a, b, of which 2 could be",
            ),
            (tensors(), {"output": "logits"}, "has no output 'logits'; it has scores"),
            (tensors(), {"output": 3}, "`output` is 3, but m has 1 outputs: scores"),
            (tensors(shape=(-1, 3, 8, 3)), {}, "both axis 1 and axis 3 could be channels"),
        ],
    )
    def test_what_a_server_tells_wrongly_is_explained(self, ask, server, metadata, settings, message):
        server.metadata = metadata
        with pytest.raises((ModelOutputError, ValueError), match=message):
            ask("/v2/models/m", **settings)

    def test_a_server_that_tells_nothing(self, ask):
        with pytest.raises(RemoteError, match=r"refused the request with status 404 Not Found.*check the URL"):
            ask("/v2/models/m")

    def test_inputs_of_another_size_are_refused_before_they_are_sent(self, ask, server, images):
        server.metadata = tensors(shape=(-1, 9, 9, 3))
        with pytest.raises(ValueError, match=r"m takes inputs \[any, 9, 9, 3\] \(NHWC\), got \[21, 8, 8, 3\]"):
            ask("/v2/models/m")(images)
        assert server.posts == []

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            ({"outputs": []}, "answered the outputs none"),
            ({"error": "no"}, "no answer of the Open Inference Protocol"),
            (
                {"outputs": [{"name": "scores", "shape": [21, 4], "datatype": "FP32"}]},
                "an output without `shape` and `data`; answers in JSON are read, no binary ones",
            ),
            (
                {"outputs": [{"name": "scores", "shape": [21, 4], "datatype": "FP32", "data": [1, 2]}]},
                r"answered 2 values in an output of shape \[21, 4\]",
            ),
            (
                {"outputs": [{"name": "scores", "shape": [21, 1, 1], "datatype": "FP32", "data": [1] * 21}]},
                r"an output of shape \[21, 1, 1\], not \[batch, classes\]",
            ),
            (
                {"outputs": [{"name": "scores", "shape": [20, 1], "datatype": "FP32", "data": [1] * 20}]},
                "answered 20 outputs to a request of 21 inputs",
            ),
        ],
    )
    def test_answers_that_are_none(self, ask, server, images, answer, message):
        server.metadata = tensors()
        server.fault = lambda n: (200, {}, json.dumps(answer))
        with pytest.raises(ModelOutputError, match=message):
            ask("/v2/models/m", inputs_per_request=21)(images)


class TestTorchServe:
    def test_one_input_per_request_as_numbers_or_files(self, ask, server, images, logits):
        for encoding, pixels in (("numbers", images), ("png", np.rint(images * 255) / 255)):
            before = len(server.posts)
            box = ask("/predictions/m", encoding=encoding)
            np.testing.assert_allclose(box(images[:4]), logits(pixels[:4]), rtol=1e-4, atol=1e-4)
            assert len(server.posts) - before == 4
        assert {seen.content_type for seen in server.posts} == {"application/json", "image/png"}

    def test_scores_by_label_name_the_classes(self, ask, server, images, logits):
        server.model = lambda values: [
            dict(zip(["dog", "cat", "ant", "bee"], row, strict=True))
            for row in logits(np.asarray(values, np.float32)).tolist()
        ]
        box = ask("/predictions/m", class_names=["ant", "bee", "cat", "dog"])
        np.testing.assert_allclose(box(images), logits(images)[:, [2, 3, 1, 0]], rtol=1e-5)
        server.model = lambda values: [{"dog": 0.5, "cat": 0.5}]
        with pytest.raises(ModelOutputError, match=r"2 of 4 known classes have no score .*`answers=\"top-k\"`"):
            box(1 - images)

    def test_pairs_of_label_and_score_name_the_classes(self, ask, server, images, logits):
        server.model = lambda values: [
            [{"label": name, "score": score} for name, score in zip(["dog", "cat", "ant", "bee"], row, strict=True)]
            for row in logits(np.asarray(values, np.float32)).tolist()
        ]
        box = ask("/predictions/m")
        np.testing.assert_allclose(box(images), logits(images)[:, [2, 3, 1, 0]], rtol=1e-5)
        assert box.class_names == ("ant", "bee", "cat", "dog")

    def test_numbers_by_names_are_no_scores_unless_the_names_are_classes(self, ask, server, images):
        server.model = lambda values: [{"class_id": 3, "confidence": 0.93} for _ in values]
        box = ask("/predictions/m")
        with pytest.raises(
            ModelOutputError, match=r"'class_id': 3.*give all `class_names`; if not, .*\$label and \$score"
        ):
            box(images[:2])
        assert box.sent.answered == 0
        with pytest.raises(ModelOutputError, match="'class_id', 'confidence' is no known class"):
            ask("/predictions/m", class_names="abcd")(images[:2])
        with pytest.raises(ModelOutputError, match="answered the class 'class_id'"):
            ask("/predictions/m", answers="top-k", n_classes=4)(images[:2])
        templates = {
            "request": {"inputs": ["$input"]},
            "answer": {"scores": [{"class_id": "$label", "confidence": "$score"}]},
        }
        rows = ask(answers="top-k", n_classes=4, **templates)(images[:2])
        np.testing.assert_allclose(rows, [[0.07 / 3] * 3 + [0.93]] * 2, rtol=1e-5)

    def test_texts_go_as_they_are(self, ask, server):
        server.model = lambda values: [
            {"Negative": len(text) / 100, "Positive": 1 - len(text) / 100} for text in values
        ]
        box = ask("/predictions/sentiment", modality="text", class_names=["Negative", "Positive"])
        np.testing.assert_allclose(box(["fig", "banana"]), [[0.03, 0.97], [0.06, 0.94]], rtol=1e-6)
        assert {seen.content_type for seen in server.posts} == {"text/plain; charset=utf-8"}


def test_files_inside_json_are_base64(ask, server, images, logits):
    box = ask("/v1/models/m:predict", encoding="png", inputs_per_request=10)
    np.testing.assert_allclose(box(images), logits(np.rint(images * 255) / 255), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="files hold plain images: the service normalises them itself"):
        ask("/v1/models/m:predict", encoding="png", mean=[0.5])


def test_normalisation_and_layout_are_applied_here(ask, server, images, logits):
    server.model = lambda values: logits(np.asarray(values, np.float32).transpose(0, 2, 3, 1)).tolist()
    box = ask(mean=[0.5], std=[0.25], layout="NCHW")
    np.testing.assert_allclose(box(images), logits((images - 0.5) / 0.25), rtol=1e-4, atol=1e-4)


def test_a_template_for_one_input_per_request(images, logits):
    def tags(values):
        return [
            [{"name": f"class {i}", "confidence": s} for i, s in enumerate(row)] for row in logits(np.asarray(values))
        ]

    with serving(
        lambda values: [[[one["name"], float(one["confidence"])] for one in row] for row in tags(values)]
    ) as server:
        box = zest.from_http(
            server.url(),
            journal=None,
            request={"inputs": ["$input"], "top": 10},
            answer={"scores": [[["$label", "$score"]]]},
        )
        np.testing.assert_allclose(box(images), logits(images), rtol=1e-5)
        assert box.class_names == ("class 0", "class 1", "class 2", "class 3")
        box.close()


class TestTemplates:
    @pytest.mark.parametrize(
        ("template", "inputs", "expected", "one_by_one"),
        [
            ({"inputs": "$inputs", "top": 5}, [1, 2], {"inputs": [1, 2], "top": 5}, False),
            ("$inputs", [1, 2], [1, 2], False),
            ('[{"data": {"b64": "$input"}}]', [1, 2], [{"data": {"b64": 1}}, {"data": {"b64": 2}}], False),
            ({"a": ["x", {"text": "$input"}]}, [1], {"a": ["x", {"text": 1}]}, True),
            ({"text": "$input", "n": [1]}, ["fig"], {"text": "fig", "n": [1]}, True),
        ],
    )
    def test_requests(self, template, inputs, expected, one_by_one):
        request = RequestTemplate(template)
        assert request.fill(inputs) == expected
        assert request.one_by_one is one_by_one

    @pytest.mark.parametrize(
        ("template", "one_by_one", "answer", "expected"),
        [
            ("$outputs", False, [[1], [2]], [[1], [2]]),
            ({"a": {"b": ["$output"]}, "ok": True}, False, {"a": {"b": [1, 2]}, "ok": True, "more": 3}, [1, 2]),
            ([{"scores": "$output"}], False, [{"scores": [1]}, {"scores": [2]}], [[1], [2]]),
            ({"label": "$output"}, True, {"label": "cat"}, ["cat"]),
            ([None, "$outputs"], False, ["any", [3, 4]], [3, 4]),
            ([{"class": "$label"}], False, [{"class": "a"}, {"class": "b"}], ["a", "b"]),
            ({"class": "$label"}, True, {"class": "a"}, ["a"]),
            (
                [[{"l": "$label", "s": "$score"}]],
                False,
                [[{"l": "a", "s": 1}], [{"l": "b", "s": 2}]],
                [[{"label": "a", "score": 1}], [{"label": "b", "score": 2}]],
            ),
            (
                [{"l": "$label", "s": "$score"}],
                False,
                [{"l": ["a", "b"], "s": [1, 2]}, {"l": "c", "s": 3}],
                [[{"label": "a", "score": 1}, {"label": "b", "score": 2}], [{"label": "c", "score": 3}]],
            ),
            ({"l": "$label", "s": "$score"}, True, {"l": ["a"], "s": [1]}, [[{"label": "a", "score": 1}]]),
        ],
    )
    def test_answers(self, template, one_by_one, answer, expected):
        assert AnswerTemplate(template, one_by_one=one_by_one).outputs(answer, "m") == expected

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: RequestTemplate("{inputs}"), "`request` is no JSON"),
            (
                lambda: RequestTemplate({"inputs": "$images"}),
                r"`request` has '\$images'; the places are \$inputs, \$input",
            ),
            (lambda: RequestTemplate({"inputs": []}), "`request` has 0 of the places"),
            (lambda: RequestTemplate({"a": "$inputs", "b": "$inputs"}), "`request` has 2 of the places"),
            (lambda: RequestTemplate([["$input"]]), "inside 2 lists of one element"),
            (lambda: AnswerTemplate({"a": 1}), "`answer` has the places none"),
            (lambda: AnswerTemplate({"a": "$score"}), r"`answer` has the places \$score"),
            (lambda: AnswerTemplate({"a": "$output"}), "tells where one output is, and a request holds several"),
            (lambda: AnswerTemplate([["$output"]]), "inside 2 lists of one element; 1 at most"),
            (
                lambda: TemplateProtocol(request="$inputs", answer=["$outputs"]),
                "inside 1 lists of one element; 0 at most",
            ),
        ],
    )
    def test_wrong_templates_are_explained(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    @pytest.mark.parametrize(
        ("template", "answer", "message"),
        [
            ({"a": "$outputs"}, [1], "the answer is .1., where an object was expected"),
            ({"a": ["$output"]}, {"a": 1}, "the answer.a is 1, where a list was expected"),
            ({"ok": True, "a": "$outputs"}, {"ok": False, "a": []}, "the answer.ok is false, where true was expected"),
            ([1, "$outputs"], [1], "where a list of 2 or more was expected"),
            ([{"l": "$label", "s": "$score"}], [{"l": ["a"], "s": [1, 2]}], "1 labels came with 2 scores"),
        ],
    )
    def test_answers_that_differ_are_explained(self, template, answer, message):
        with pytest.raises(ModelOutputError, match=message):
            AnswerTemplate(template).outputs(answer, "m")

    def test_templates_go_in_pairs_and_alone(self):
        for settings, message in (
            ({"request": "$inputs"}, "templates go in pairs; give `answer`"),
            ({"answer": "$outputs"}, "templates go in pairs; give `request`"),
            ({"request": "$inputs", "answer": "$outputs", "protocol": "kserve"}, "leave out one of them"),
            ({"request": "$inputs", "answer": "$outputs", "output": 1}, "`output` chooses among the outputs of KServe"),
            ({"protocol": "soap"}, "`protocol` is 'soap'; choose 'auto', 'kserve'"),
        ):
            with pytest.raises(ValueError, match=message):
                zest.from_http("https://host.example/x", journal=None, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_flight": 0}, "`in_flight` is 0; give a whole number, at least 1"),
        ({"inputs_per_request": 0}, "`inputs_per_request` is 0"),
        ({"attempts": 0}, "`attempts` is 0"),
        ({"rate_limit": -1}, "`rate_limit` is -1; give requests per second"),
        ({"timeout": float("nan")}, "`timeout` is nan; give seconds"),
        ({"longest_wait": -1}, "`longest_wait` is -1"),
        ({"budget": -5}, "`budget` is -5; give a number of inputs"),
        ({"verify": -1}, "`verify` is -1"),
        ({"answers": "best"}, "`answers` is 'best'"),
        ({"answers": "labels", "returns": "logits"}, "labels become scores of 0 and 1"),
        ({"modality": "smell"}, "`modality` is 'smell'"),
        ({"modality": "text", "mean": [0.5]}, "takes texts; mean, std"),
        ({"encoding": "wav"}, "`encoding` is 'wav' for images; choose 'auto' or 'numbers' or 'png'"),
        ({"encoding": "wav", "modality": "audio"}, "a WAV file tells its rate; give `rate`"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        zest.from_http("https://host.example/predictions/m", journal=None, **settings)


def test_protocols_are_recognised_by_the_url():
    known = {
        "https://h/v2/models/m": "kserve",
        "https://h/gateway/v2/models/m/versions/3/infer": "kserve",
        "https://h/v1/models/m:predict": "kserve-v1",
        "https://h/v1/models/m/versions/2:predict": "kserve-v1",
        "https://h/predictions/m": "torchserve",
        "https://h/predictions/m/1.0": "torchserve",
        "https://h/v2/models": "",
        "https://h/": "",
    }
    assert {url: protocol_of(url, "auto") for url in known} == known


def test_questions_differ_by_size_and_kind_as_well_as_by_content():
    flat, square = np.zeros((1, 4), np.float32), np.zeros((2, 2), np.float32)
    numbers = Encoder(kind="numbers")
    keys = {
        numbers.key(flat),
        numbers.key(square),
        Encoder(kind="numbers", dtype="float64").key(numbers.rounded(square).astype(np.float64)),
        Encoder(kind="text").key("0000"),
        Encoder(kind="wav", rate=8000).key(np.zeros(4, "<i2")),
        Encoder(kind="wav", rate=16000).key(np.zeros(4, "<i2")),
    }
    assert len(keys) == 6
