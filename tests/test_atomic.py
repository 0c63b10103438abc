import stat

import pytest

from zest_jax.atomic import atomic_write


def test_the_file_appears_whole(tmp_path):
    with atomic_write(tmp_path / "x") as file:
        file.write(b"one")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_bytes() == b"one"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) & 0o400


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "x"
    path.write_bytes(b"before")

    def write_half():
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="the folder .*gone does not exist; create it first"),
        atomic_write(tmp_path / "gone" / "x"),
    ):
        pass
