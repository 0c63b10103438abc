"""Reports as files, and the pictures beside them."""

import json
import os
import sys

import pytest

from zest_jax.errors import MissingExtraError
from zest_jax.report import page as page_module
from zest_jax.report.page import render, write_page
from zest_jax.report.picture_folder import NOTED, picture_folder

pytest.importorskip("jinja2")


class TestWriting:
    def test_pictures_lie_beside_the_page_and_are_those_in_it(self, report, tmp_path):
        path = tmp_path / "suspect.html"
        written = write_page(report, path)
        assert path.read_text(encoding="utf-8") == render(report)
        assert written[0] == path
        folder = tmp_path / "suspect_files"
        names = {f"{picture.name}.png" for picture in report.pictures()}
        assert {p.name for p in folder.iterdir()} == {*names, NOTED}
        noted = json.loads((folder / NOTED).read_text())
        assert (noted["page"], set(noted["files"])) == ("suspect.html", names)
        assert {p: p.read_bytes() for p in written[1:]} == {
            folder / f"{picture.name}.png": picture.png for picture in report.pictures()
        }
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []

    def test_a_former_report_is_replaced_and_other_files_stay(self, report, zoo_report, tmp_path):
        path = tmp_path / "suspect.html"
        write_page(report, path)
        folder = picture_folder(path)
        for name in ("mine.png", "reference-x.png"):
            (folder / name).write_bytes(b"mine")
        write_page(zoo_report, path)
        assert path.read_text(encoding="utf-8") == render(zoo_report)
        stay = {"heat-map.png", "family-tree.png", "mine.png", "reference-x.png", NOTED}
        assert {p.name for p in folder.iterdir()} == stay
        assert set(json.loads((folder / NOTED).read_text())["files"]) == {"heat-map.png", "family-tree.png"}

    @pytest.mark.parametrize("name", ["reference-7.png", "heat-map.png"])
    def test_what_no_report_wrote_is_neither_replaced_nor_removed(self, report, tmp_path, name):
        path = tmp_path / "a.html"
        folder = picture_folder(path)
        folder.mkdir()
        (folder / name).write_bytes(b"mine")
        with pytest.raises(
            ValueError, match=f"{name} was written by no report of a.html; move it away or name another page"
        ):
            write_page(report, path)
        assert [p.name for p in folder.iterdir()] == [name]
        assert (folder / name).read_bytes() == b"mine"
        assert not path.exists()

    def test_a_picture_that_was_changed_is_kept(self, report, zoo_report, tmp_path):
        path = tmp_path / "a.html"
        write_page(report, path)
        changed = picture_folder(path) / "distances-by-reference.png"
        changed.write_bytes(b"mine")
        for pictures in (True, False):
            with pytest.raises(ValueError, match=r"distances-by-reference.png was changed since a report wrote it"):
                write_page(zoo_report, path, pictures=pictures)
        assert changed.read_bytes() == b"mine"
        assert path.read_text(encoding="utf-8") == render(report)

    def test_two_pages_do_not_share_a_folder(self, report, zoo_report, tmp_path):
        write_page(report, tmp_path / "a.htm")
        before = {p: p.read_bytes() for p in (tmp_path / "a_files").iterdir()}
        with pytest.raises(ValueError, match="a_files holds the pictures of a.htm; .* name another page"):
            write_page(zoo_report, tmp_path / "a.html")
        write_page(zoo_report, tmp_path / "a.html", pictures=False)
        assert {p: p.read_bytes() for p in (tmp_path / "a_files").iterdir()} == before

    def test_without_pictures_those_of_the_former_report_are_removed(self, report, zoo_report, tmp_path):
        path = tmp_path / "a.html"
        write_page(report, path)
        write_page(zoo_report, path, pictures=False)
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
        write_page(report, path)
        (picture_folder(path) / "mine.png").write_bytes(b"mine")
        write_page(zoo_report, path, pictures=False)
        assert [p.name for p in picture_folder(path).iterdir()] == ["mine.png"]
        (picture_folder(path) / "heat-map.png").write_bytes(b"mine")
        write_page(zoo_report, path, pictures=False)
        assert (picture_folder(path) / "heat-map.png").read_bytes() == b"mine"

    def test_after_an_interruption_the_same_command_can_be_run_again(self, report, zoo_report, tmp_path, monkeypatch):
        path = tmp_path / "a.html"
        write_page(report, path)
        replaced = []

        def interrupted(source, target):
            replaced.append(target)
            if len(replaced) == 3:
                raise KeyboardInterrupt
            rename(source, target)

        rename = os.replace
        monkeypatch.setattr("os.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_page(zoo_report, path)
        monkeypatch.setattr("os.replace", rename)
        assert path.read_text(encoding="utf-8") == render(report)
        write_page(zoo_report, path)
        assert {p.name for p in picture_folder(path).iterdir()} == {"heat-map.png", "family-tree.png", NOTED}

    @pytest.mark.parametrize(
        "noted",
        [
            "no json",
            "[]",
            '{"format": "other", "page": "a.html", "files": {}}',
            '{"format": "zest-report-pictures", "page": "a.html", "files": {"../../mine.png": ["0"]}}',
        ],
    )
    def test_a_damaged_or_forged_list_of_pictures_is_refused(self, report, tmp_path, noted):
        path = tmp_path / "a.html"
        picture_folder(path).mkdir()
        (picture_folder(path) / NOTED).write_text(noted)
        with pytest.raises(ValueError, match=rf"{NOTED} cannot be read .* move .*a_files away or name another page"):
            write_page(report, path)
        assert not path.exists()

    def test_no_pictures_on_demand(self, zoo_report, tmp_path):
        assert write_page(zoo_report, tmp_path / "a.html", pictures=False) == [tmp_path / "a.html"]
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]

    def test_a_page_that_cannot_be_written_leaves_the_old_one(self, zoo_report, tmp_path, monkeypatch):
        path = tmp_path / "a.html"
        path.write_text("old")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_page(zoo_report, path, pictures=False)
        assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
        assert path.read_text() == "old"

    def test_without_jinja_the_extra_is_named(self, zoo_report, monkeypatch):
        page_module._template.cache_clear()
        monkeypatch.setitem(sys.modules, "jinja2", None)
        with pytest.raises(MissingExtraError, match=r"jinja2 is not installed.*zest_jax\[report\]"):
            render(zoo_report)
