import sys

import numpy as np
import pytest

from zest_jax.blackbox import file_identity, from_onnx
from zest_jax.blackbox.external_data import external_locations
from zest_jax.errors import FileFormatError, MissingExtraError, ModelOutputError, UnsafeFileError

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - after the check that onnx is there

WEIGHTS = np.random.default_rng(1).standard_normal((3, 10)).astype(np.float32)
FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8


def small_model(
    shape,
    *,
    dtype=FLOAT,
    channels_axis=1,
    more_outputs=(),
    more_inputs=(),
    metadata=None,
    classes=10,
    open_classes=False,
):
    """Bytes of an ONNX model: the mean over pixels, cast to float32, times `WEIGHTS`."""
    spatial = [2, 3] if channels_axis == 1 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=FLOAT),
        helper.make_node("ReduceMean", ["float"], ["features"], axes=spatial, keepdims=0),
        helper.make_node("MatMul", ["features", "weights"], ["all" if open_classes else "scores"]),
    ]
    initializers = [numpy_helper.from_array(WEIGHTS[:, :classes], "weights")]
    if open_classes:  # by a node that could drop some: ONNX Runtime infers their number otherwise
        nodes.append(helper.make_node("Compress", ["all", "kept"], ["scores"], axis=1))
        initializers.append(numpy_helper.from_array(np.ones(classes, bool), "kept"))
    batch = shape[0]
    outputs = [helper.make_tensor_value_info("scores", FLOAT, [batch, None if open_classes else classes])]
    outputs += [helper.make_tensor_value_info(name, FLOAT, dims) for name, dims in more_outputs]
    inputs = [helper.make_tensor_value_info("x", dtype, shape)]
    inputs += [helper.make_tensor_value_info(name, FLOAT, [1]) for name in more_inputs]
    graph = helper.make_graph(nodes, "small", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()


def wanted(images):
    return images.mean((1, 2)) @ WEIGHTS


@pytest.mark.parametrize("name", ["victim", "victim_epoch3", "unrelated"])
def test_golden_models_give_the_golden_logits(answers, name):
    box = from_onnx(answers.model(name), mean=answers.mean, std=answers.std)
    np.testing.assert_allclose(box(answers.inputs), answers.logits[name], atol=1e-3)


def test_what_was_detected_is_reported(answers):
    box = from_onnx(answers.model("victim"), threads=1)
    assert (box.label, box.fixed_batch, box.class_names, box.spec.layout) == ("victim", None, None, "NCHW")
    expected = {
        "layout_from": "input shape",
        "input_shape": [None, 3, 32, 32],
        "input_dtype": "float32",
        "output": "logits",
        "threads": 1,
        "providers": ["CPUExecutionProvider"],
        "file_sha256": file_identity(answers.model("victim")),
    }
    assert expected.items() <= box.settings.items()


@pytest.mark.parametrize(
    ("shape", "axis", "layout", "origin"),
    [
        (["n", 3, 8, 8], 1, "NCHW", "input shape"),
        (["n", 8, 8, 3], 3, "NHWC", "input shape"),
        (["n", "c", "h", "w"], 1, "NCHW", "assumed: the input shape does not tell"),
    ],
)
def test_layout_is_detected_from_the_input_shape(images, shape, axis, layout, origin):
    box = from_onnx(small_model(shape, channels_axis=axis))
    assert (box.spec.layout, box.settings["layout"], box.settings["layout_from"]) == (layout, layout, origin)
    np.testing.assert_allclose(box(images), wanted(images), atol=1e-5)


def test_a_layout_that_the_shape_does_not_settle_must_be_given(images):
    ambiguous = small_model(["n", 3, 8, 3])
    with pytest.raises(ValueError, match="both axis 1 and axis 3 could be channels; set `layout`"):
        from_onnx(ambiguous)
    assert from_onnx(ambiguous, layout="NCHW").settings["layout_from"] == "given"


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_detected_and_any_number_can_be_asked(images, batch):
    box = from_onnx(small_model([batch, 3, 8, 8]))
    assert box.fixed_batch == batch
    np.testing.assert_allclose(box(images), wanted(images), atol=1e-5)
    np.testing.assert_allclose(box.ask(images.transpose(0, 3, 1, 2)), wanted(images), atol=1e-5)


def test_uint8_models_get_pixels(images):
    box = from_onnx(small_model(["n", 3, 8, 8], dtype=BYTE))
    assert box.spec.value_range == (0.0, 255.0)
    pixels = np.rint(images * 255)
    np.testing.assert_allclose(box(pixels / 255), wanted(pixels), rtol=1e-4, atol=1e-3)
    assert box.settings["input_dtype"] == "uint8"
    assert from_onnx(small_model(["n", 3, 8, 8], dtype=BYTE), value_range=(0.0, 100.0)).spec.value_range == (0.0, 100.0)


def test_uint8_models_take_no_normalisation():
    with pytest.raises(ValueError, match="onnx takes uint8 pixels, so it normalises them itself; leave out `mean`"):
        from_onnx(small_model(["n", 3, 8, 8], dtype=BYTE), mean=[0.5])


def test_half_precision_inputs_are_cast(images):
    box = from_onnx(small_model(["n", 3, 8, 8], dtype=HALF))
    np.testing.assert_allclose(box(images), wanted(images), atol=1e-2)
    assert box.settings["input_dtype"] == "float16"


def test_outputs_are_chosen_by_name_or_index(images):
    model = small_model(["n", 3, 8, 8], more_outputs=[("features", ["n", 3])])
    with pytest.raises(
        ModelOutputError, match=r"'scores' float \['n', 10\], 'features' float \['n', 3\]: 2 of them could"
    ):
        from_onnx(model)
    for output in ("features", 1, -1):
        np.testing.assert_allclose(from_onnx(model, output=output)(images), images.mean((1, 2)), atol=1e-5)
    with pytest.raises(ValueError, match="onnx has no output 'probabilities'; it has 'scores'"):
        from_onnx(model, output="probabilities")
    with pytest.raises(ValueError, match="`output` is 2, but onnx has 2 outputs"):
        from_onnx(model, output=2)


def test_only_outputs_of_rank_2_come_into_question(images):
    model = small_model(["n", 3, 8, 8], more_outputs=[("float", ["n", 3, 8, 8])])
    assert from_onnx(model).settings["output"] == "scores"
    with pytest.raises(ModelOutputError, match=r"onnx answered float32 \[6, 3, 8, 8\] at output 'float', not"):
        from_onnx(model, output="float")(images)


def test_a_model_without_scores_is_refused():
    inputs = [helper.make_tensor_value_info("x", FLOAT, ["n", 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("maps", FLOAT, ["n", 3, 8, 8])]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["maps"])], "maps", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    with pytest.raises(ModelOutputError, match=r"none of them is \[batch, classes\] of floating-point numbers"):
        from_onnx(model.SerializeToString())


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("classes", '["cat", "dog"]'),
        ("labels", "('cat', 'dog')"),
        ("names", "{0: 'cat', 1: 'dog'}"),
        ("names", "{1: 'dog', 0: 'cat'}"),
        ("names", '{"1": "dog", "0": "cat"}'),
        ("class_names", '{"dog": 1, "cat": 0}'),
    ],
)
def test_class_names_are_read_from_the_metadata(key, text):
    model = small_model(["n", 3, 8, 8], classes=2, metadata={key: text})
    assert from_onnx(model).class_names == ("cat", "dog")
    assert "class_names_ignored" not in from_onnx(model).settings
    assert from_onnx(model, class_names=["a", "b"]).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cat dog", "neither JSON nor a Python literal"),
        ("__import__('os')", "neither JSON nor a Python literal"),
        ("17", "no list of names"),
        ("[1, 2]", "no list of names"),
        ('["cat", ["dog"]]', "no list of names"),
        ("{[0]: 'cat'}", "neither JSON nor a Python literal"),
        ("{'a': 'cat', 'b': 'dog'}", "no list of names"),
        ("{1: 'cat', 2: 'dog'}", "the indices of its 2 names are not 0 to 1"),
        ('{"cat": 0, "dog": 0}', "the indices of its 2 names are not 0 to 1"),
        ('["cat", "dog", "cow"]', "3 names for 2 classes"),
        ("[" * 100_000, "neither JSON nor a Python literal"),
        ("-" * 100_000 + "1", "neither JSON nor a Python literal"),
        (f'["cat", "{"d" * 1_000_000}"]', "1000011 characters, more than 1000000"),
    ],
)
def test_metadata_that_are_no_class_names_are_ignored_with_the_reason(text, why):
    box = from_onnx(small_model(["n", 3, 8, 8], classes=2, metadata={"names": text}))
    assert box.class_names is None
    assert box.settings["class_names_ignored"].startswith(f"`names` in the metadata: {why}")


def test_blank_metadata_are_not_worth_a_word():
    box = from_onnx(small_model(["n", 3, 8, 8], classes=2, metadata={"names": " "}))
    assert box.class_names is None
    assert "class_names_ignored" not in box.settings


def test_names_of_a_model_that_leaves_the_classes_open_are_held_against_its_first_answer(images):
    metadata = {"names": '["cat", "dog"]'}
    for classes, expected in ((2, ("cat", "dog")), (3, None)):
        box = from_onnx(small_model(["n", 3, 8, 8], classes=classes, open_classes=True, metadata=metadata))
        assert box.class_names == ("cat", "dog")
        box(images)
        assert box.class_names == expected
    assert box.settings["class_names_ignored"] == "2 names for 3 classes"


def with_external_weights(folder, location="weights.bin", values=WEIGHTS):
    """Write `small_model` with its weights outside; return the paths of model and weights."""
    model = onnx.load_from_string(small_model(["n", 3, 8, 8]))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location, length=WEIGHTS.nbytes)
    model.graph.initializer[0].ClearField("raw_data")
    (folder / "suspect.onnx").write_bytes(model.SerializeToString())
    weights = folder / location
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(values.tobytes())
    return folder / "suspect.onnx", weights


def test_external_weights_are_part_of_the_identity(tmp_path, images):
    path, weights = with_external_weights(tmp_path, "data/weights.bin")
    box = from_onnx(path)
    np.testing.assert_allclose(box(images), wanted(images), atol=1e-5)
    assert box.settings["external_data"] == ["data/weights.bin"]
    weights.write_bytes((2 * WEIGHTS).tobytes())
    other = from_onnx(path)
    np.testing.assert_allclose(other(images), 2 * wanted(images), atol=1e-5)
    hashes = {b.settings["file_sha256"] for b in (box, other)} | {file_identity(path)}
    assert len(hashes) == 3
    assert other.settings["file_sha256"] == file_identity(path, weights)


@pytest.mark.parametrize("location", ["../weights.bin", "sub/../../weights.bin", "/tmp/weights.bin", r"..\w", r"C:\w"])
def test_external_weights_outside_the_folder_are_refused(tmp_path, location):
    (tmp_path / "model").mkdir()
    path, _ = with_external_weights(tmp_path / "model")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(UnsafeFileError, match=r"suspect\.onnx takes weights from .*, outside its own folder"):
        from_onnx(path)


def test_external_weights_must_be_there(tmp_path):
    path, weights = with_external_weights(tmp_path)
    weights.unlink()
    with pytest.raises(FileFormatError, match=r"takes weights from 'weights\.bin', which is not beside it; copy that"):
        from_onnx(path)
    with pytest.raises(FileFormatError, match=r"bytes .* take weights from 'weights\.bin'; give the path of the model"):
        from_onnx(path.read_bytes())


def test_external_weights_are_found_wherever_a_tensor_can_be():
    def tensor(name):
        found = numpy_helper.from_array(WEIGHTS, name)
        onnx.external_data_helper.set_external_data(found, f"{name}.bin")
        found.ClearField("raw_data")
        return found

    def constant(name):
        return helper.make_node("Constant", [], [name], value=tensor(name))

    branch = helper.make_graph([constant("then")], "branch", [], [], [tensor("inner")])
    nodes = [constant("outer"), helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    function = helper.make_function("d", "f", [], ["y"], [constant("function")], [helper.make_opsetid("", 13)])
    sparse = helper.make_sparse_tensor(tensor("values"), tensor("indices"), [3, 10])
    graph = helper.make_graph(nodes, "g", [], [], [tensor("weights")], sparse_initializer=[sparse])
    model = helper.make_model(graph, functions=[function]).SerializeToString()
    names = ("then", "inner", "outer", "function", "values", "indices", "weights")
    assert external_locations(model) == {f"{name}.bin" for name in names}
    assert external_locations(small_model(["n", 3, 8, 8])) == set()
    with pytest.raises(ValueError, match=r"a model is longer than what it is in"):
        external_locations(model[:-1])


def test_inputs_of_another_size_are_refused_with_the_size_wanted(images):
    with pytest.raises(
        ValueError,
        match=r"onnx takes inputs \[any, 3, 9, 9\] \(NCHW\), got \[6, 3, 8, 8\]; make the references of that size",
    ):
        from_onnx(small_model(["n", 3, 9, 9]))(images)


def sound_model(shape, metadata=None):
    """Bytes of an ONNX model of sounds: three of their samples."""
    dims = [helper.make_tensor_value_info("x", FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("scores", FLOAT, None)]
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gather", ["flat", "i"], ["scores"], axis=1),
    ]
    initializers = [numpy_helper.from_array(np.arange(3), "i")]
    graph = helper.make_graph(nodes, "sounds", dims, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()


@pytest.mark.parametrize("shape", [["n", 400], ["n", 1, 400], ["n", 400, 1]])
def test_sounds_of_another_length_are_refused_with_the_seconds_wanted(shape):
    sounds = np.zeros((2, 300), np.float32)
    told = "it takes sounds of 400 samples, and these have 300: make the probes of sounds of that length"
    with pytest.raises(ValueError, match=told + r" \(`zest probes --seconds 0\.05` at its 8,000 Hz\)"):
        from_onnx(sound_model(shape, {"zest_jax": "1", "rate": "8000"}))(sounds)
    with pytest.raises(ValueError, match=told + r" \(`zest probes --seconds S`, S being 400 / rate\)"):
        from_onnx(sound_model(shape))(sounds)
    assert from_onnx(sound_model(shape))(np.zeros((2, 400), np.float32)).shape == (2, 3)


def test_models_with_other_inputs_are_refused():
    with pytest.raises(
        FileFormatError, match=r"has 2 inputs \('x' float .*, 'threshold' float \[1\]\); a black box takes one"
    ):
        from_onnx(small_model(["n", 3, 8, 8], more_inputs=["threshold"]))
    with pytest.raises(
        FileFormatError, match=r"takes 'x' int64 .*; inputs of float32, float16, float64, uint8 are supported"
    ):
        from_onnx(small_model(["n", 3, 8, 8], dtype=TensorProto.INT64))


def test_foreign_and_truncated_files_are_told_apart(tmp_path, answers):
    whole = answers.model("victim").read_bytes()
    path = tmp_path / "suspect.onnx"
    path.write_bytes(whole[:100_000])
    with pytest.raises(
        FileFormatError, match=r"suspect\.onnx is a truncated ONNX model: \d+ bytes are announced, 100000"
    ):
        from_onnx(path)
    with pytest.raises(FileFormatError, match="the 5 bytes given to `from_onnx` are not an ONNX model"):
        from_onnx(b"hello")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        from_onnx(tmp_path / "absent.onnx")
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"suspect\.onnx is empty"):
        from_onnx(path)
    damaged = bytearray(whole)
    damaged[60:400] = b"\xff" * 340
    with pytest.raises(FileFormatError, match=r"ONNX Runtime cannot open onnx|damaged ONNX model"):
        from_onnx(bytes(damaged))


def test_an_unknown_provider_is_refused(answers):
    with pytest.raises(ValueError, match=r"`providers` asks for 'NoProvider'; this onnxruntime has .*CPU"):
        from_onnx(answers.model("victim"), providers=["NoProvider"])


def test_without_onnxruntime_the_error_names_the_extra(monkeypatch, answers):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        MissingExtraError, match=r'onnxruntime is not installed; install it with `pip install "zest_jax\[onnx'
    ):
        from_onnx(answers.model("victim"))
