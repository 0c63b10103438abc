"""What is installed is told as it is."""

from importlib import metadata

import pytest

from zest_jax.doctor import devices, environment, extras


def test_devices_of_a_kind_are_counted():
    assert devices() == ["cpu, 8 devices"]


def test_extras_are_those_of_the_metadata_without_those_of_developers():
    found = {extra.name: extra for extra in extras()}
    assert next(iter(found)) == ""
    assert {"torch", "onnx", "data", "audio", "text", "remote", "train", "store", "export"} <= set(found)
    assert not {"dev", "test", "demo"} & set(found)
    assert {each.name.partition(">")[0] for each in found[""].requirements} >= {"jax", "flax", "numpy", "tyro"}
    # What an extra contains by way of another one is there too.
    assert {each.name.partition(">")[0] for each in found["export"].requirements} >= {"onnxruntime", "onnx", "sympy"}
    assert set(found["train"].requirements) < set(found["export"].requirements)
    assert found[""].complete


def test_what_is_missing_or_too_old_does_not_fit(monkeypatch):
    true = metadata.version

    def version(name):
        if name == "httpx":
            raise metadata.PackageNotFoundError(name)
        return {"onnxruntime": "1.2.0", "torch": "2.13.0+cpu"}.get(name) or true(name)

    monkeypatch.setattr(environment.metadata, "version", version)
    found = {extra.name: extra for extra in extras()}
    assert found["remote"].requirements == (("httpx>=0.27.0", None, False),)
    assert found["onnx"].requirements == (("onnxruntime>=1.19.0", "1.2.0", False),)
    assert found["torch"].requirements == (("torch>=2.6.0", "2.13.0+cpu", True),)
    assert [found[name].complete for name in ("remote", "onnx", "export", "torch")] == [False, False, False, True]


def test_a_package_that_is_not_installed_has_no_extras(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGE", "zest_jax_that_is_nowhere")
    with pytest.raises(metadata.PackageNotFoundError):
        extras()
