"""What is done around a Ray cluster; none is started here."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from zest_jax.many import RayTasks
from zest_jax.many.ray_cluster import _machine, native_log_kept_back, own_folder, remove_left_behind


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("cluster", "'cluster' is no address of a Ray cluster; give HOST:PORT of its head"),
        (":6379", "':6379' is no address of a Ray cluster"),
        ("ray://host:10001", "ray://host:10001 is an address of Ray Client, which loses its tasks"),
    ],
)
def test_what_is_no_address_is_refused_at_once(address, message):
    with pytest.raises(ValueError, match=message):
        RayTasks(address=address)


@pytest.mark.skipif(os.name == "nt", reason="folders have no modes on Windows")
def test_a_folder_of_ones_own_is_closed_to_others_and_named_after_the_process(tmp_path, monkeypatch):
    # Deeper ones are too long for sockets.
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    folder = Path(own_folder())
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert re.fullmatch(rf"/tmp/zest-ray-{os.getpid()}-\w+", str(folder))
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.name == "nt", reason="not done on Windows")
def test_folders_of_dead_processes_go_and_others_stay(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    names = [f"zest-ray-{ended.pid}-abcdefgh", f"zest-ray-{os.getpid()}-abcdefgh", "zest-ray-x", "other"]
    for name in names:
        (tmp_path / name / "r").mkdir(parents=True)
        (tmp_path / name / "owner").write_text(_machine())
    # Of another machine, where this process may well run, on a folder that both share; and one that was just made.
    names += [f"zest-ray-{ended.pid}-elsewhere", f"zest-ray-{ended.pid}-justmade"]
    for name in names[-2:]:
        (tmp_path / name / "r").mkdir(parents=True)
    (tmp_path / names[-2] / "owner").write_text("another machine")
    (tmp_path / f"zest-ray-{ended.pid}-linked").symlink_to(tmp_path / "other")
    remove_left_behind(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], f"zest-ray-{ended.pid}-linked"])
    assert (tmp_path / "other" / "r").is_dir()


@pytest.mark.skipif(os.name == "nt", reason="not done on Windows")
def test_folders_of_other_users_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("zest_jax.many.ray_cluster._runs", lambda process: False)
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path.stat().st_uid or 0) + 1)
    (tmp_path / "zest-ray-1-abcdefgh").mkdir()
    (tmp_path / "zest-ray-1-abcdefgh" / "owner").write_text(_machine())
    remove_left_behind(str(tmp_path))
    assert (tmp_path / "zest-ray-1-abcdefgh").is_dir()


def test_the_log_of_ray_is_left_out_and_the_rest_passes(capfd):
    with native_log_kept_back():
        os.write(2, b"[2026-01-01 10:00:00,000 W 7 7] gcs_client.cc:183: Failed to get cluster ID from GCS server\n")
        os.write(2, b"E0000 00:00:1.5 7 tcp_client.cc:90] no route\nsomething else\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "something else\nafterwards\n"
