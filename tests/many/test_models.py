"""Which models are meant, and what they are called."""

import json
import shutil

import pytest

from zest_jax.errors import FileFormatError
from zest_jax.many.models import Model, find_models, identity_of


def test_files_are_called_after_themselves(golden):
    paths = list(golden.models.values())
    assert find_models(paths) == [Model(path.stem, str(path.absolute())) for path in paths]


def test_a_folder_stands_for_the_models_in_it(golden, tmp_path):
    shutil.copy(golden.models["victim"], tmp_path / "b.onnx")
    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    (tmp_path / "log.txt").write_text("x")
    (tmp_path / "victim.sig").write_text("x")
    (tmp_path / "empty").mkdir()
    assert [model.name for model in find_models([tmp_path])] == ["a", "b"]
    with pytest.raises(
        ValueError, match=r"the folder .*empty holds no model: no run of `zest train` and no file that ends in \.onnx"
    ):
        find_models([tmp_path / "empty"])


def test_a_zoo_tells_its_models_by_name(tmp_path):
    entry = dict.fromkeys(
        ("kind", "parents", "model", "accuracy", "epochs", "lineage", "seconds", "digest", "settings", "fingerprint"),
        (),
    )
    models = [{**entry, "name": "stolen", "path": "stolen/run"}, {**entry, "name": "int8", "path": "int8/model.onnx"}]
    (tmp_path / "index.json").write_text(json.dumps({"models": models}))
    assert find_models([tmp_path]) == [
        Model("stolen", str(tmp_path / "stolen/run")),
        Model("int8", str(tmp_path / "int8/model.onnx")),
    ]


def test_names_are_unique_and_paths_make_them_so(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for lab in ("a", "b"):
        (tmp_path / lab).mkdir()
        shutil.copy(golden.models["victim"], f"{lab}/model.onnx")
    with pytest.raises(
        ValueError, match=r"a/model.onnx and .*b/model.onnx would both be called 'model'.*`names='path'`"
    ):
        find_models(["a", "b"])
    assert [model.name for model in find_models(["a", "b"], names="path")] == ["a/model", "b/model"]
    for names in ("file", "path"):
        with pytest.warns(UserWarning, match=r"model.onnx is given twice; it is taken once"):
            assert len(find_models(["a", "a/model.onnx", tmp_path / "a"], names=names)) == 1
    with pytest.raises(ValueError, match="`names` is 'label'; choose 'file' or 'path'"):
        find_models(["a"], names="label")


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("https://host/v2/models/cats", ValueError, r"is asked over the network.*`zest sign https://host"),
        ("none.onnx", FileNotFoundError, "there is no file none.onnx; give model files, folders of models, or Python"),
    ],
)
def test_what_cannot_be_signed_is_refused_at_once(given, kind, message):
    with pytest.raises(kind, match=message):
        find_models([given])


def test_the_identity_is_that_of_the_signature(golden, tmp_path):
    from zest_jax import from_onnx

    victim = golden.models["victim"]
    assert identity_of(str(victim)) == from_onnx(victim).settings["file_sha256"]
    assert identity_of("package.module:function") is None
    (tmp_path / "checkpoints").mkdir()
    assert identity_of(str(tmp_path)) is None
    (tmp_path / "cut.onnx").write_bytes(victim.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match="is a truncated ONNX model"):
        identity_of(str(tmp_path / "cut.onnx"))
