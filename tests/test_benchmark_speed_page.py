"""docs/performance.md is what the results give."""

import json
import shutil

from benchmarks.record import RESULTS
from benchmarks.speed import page


def test_the_page_is_that_of_the_results():
    assert page.PAGE.read_text(encoding="utf-8") == page.page()


def test_every_benchmark_of_speed_is_on_the_page():
    assert {name for name, *_ in page.SECTIONS} == {path.name for path in (RESULTS / "speed").iterdir()}


def test_another_device_gets_tables_of_its_own(tmp_path):
    for name in ("speed", "zoo"):
        shutil.copytree(RESULTS / name, tmp_path / name)
    result = json.loads((tmp_path / "speed" / "solve" / "cpu.json").read_text(encoding="utf-8"))
    result["environment"] |= {"platform": "gpu", "device": "Some GPU", "devices": 2}
    result["cases"]["32, 10 classes"]["median_seconds"]["factored"] = 12.345
    (tmp_path / "speed" / "solve" / "gpu.json").write_text(json.dumps(result), encoding="utf-8")
    text = page.page(tmp_path)
    assert "on 2 x Some GPU" in text
    assert "| 12.345 |" in text
    assert "; 2 x Some GPU.\n" in text
