"""Journals: foreign, newer, damaged ones, and several who use the same."""

import concurrent.futures
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

import zest_jax as zest
from zest_jax.blackbox.http.journal import Journal
from zest_jax.errors import FileFormatError


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
