"""What is wrong with an output is said before any work."""

import os

import pytest

from zest_jax.cli.files import UsageError, check_output


def test_a_folder_that_takes_no_file_is_refused_first(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UsageError, match="takes no new file .Read-only file system.; name another"):
        check_output(tmp_path / "x.sig")


def test_a_good_place_is_left_as_it_was(tmp_path):
    check_output(tmp_path / "x.sig")
    assert not list(tmp_path.iterdir())
