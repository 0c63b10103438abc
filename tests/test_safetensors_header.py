import json

import numpy as np
import pytest
import safetensors.numpy

from zest_jax.safetensors_header import LARGEST_HEADER, safetensors_header, safetensors_metadata


def written(tmp_path, text: bytes, length: int | None = None):
    path = tmp_path / "x"
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text)
    return path


def test_header_and_metadata_are_what_safetensors_wrote(tmp_path):
    path = tmp_path / "x"
    safetensors.numpy.save_file({"a": np.zeros((2, 3), np.float32)}, path, metadata={"format": "zest-signature"})
    header = safetensors_header(path)
    assert header["a"] == {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    assert safetensors_metadata(path) == header["__metadata__"] == {"format": "zest-signature"}


def test_file_without_metadata_has_none_to_tell(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "x")
    assert safetensors_metadata(tmp_path / "x") == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"12345678", b"12345678[]", b"\xff" * 8 + b"{"])
def test_other_files_have_no_header(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert safetensors_header(tmp_path / "x") is None
    assert safetensors_metadata(tmp_path / "x") is None


def test_a_header_beyond_the_limit_is_not_read(tmp_path):
    assert safetensors_header(written(tmp_path, b"{}", LARGEST_HEADER + 1)) is None


@pytest.mark.parametrize(
    ("text", "length", "message"),
    [
        (b"{}", 3, "3 bytes are announced, 2 are there"),
        (b"{}", LARGEST_HEADER, "announced, 2 are there"),
        (b"{no", None, "Expecting property name"),
        (b'{"\xff":1}', None, "codec can't decode"),
        (b'{"a":' * 100_000, None, "nested too deeply"),
    ],
)
def test_damaged_header_is_refused_and_has_no_metadata(tmp_path, text, length, message):
    path = written(tmp_path, text, length)
    with pytest.raises(ValueError, match=message):
        safetensors_header(path)
    assert safetensors_metadata(path) is None


def test_metadata_that_is_no_mapping_is_none(tmp_path):
    assert safetensors_metadata(written(tmp_path, json.dumps({"__metadata__": [1]}).encode())) is None
