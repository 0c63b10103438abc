"""What the notebooks in colab/ are as they are kept."""

import base64
import copy
import io
import json

import pytest

from tests.notebooks.running import SCRIPT

pytest.importorskip("nbformat")
NOTEBOOKS = SCRIPT["notebooks"]()


def png(**texts):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info, target = PngInfo(), io.BytesIO()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", (4, 4), "red").save(target, "PNG", pnginfo=info)
    return base64.b64encode(target.getvalue()).decode()


@pytest.fixture
def kept():
    return SCRIPT["read"](NOTEBOOKS[0])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_as_the_script_leaves_them(path):
    assert SCRIPT["problems"](path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_a_badge_an_install_line_and_pictures(path):
    notebook, address = SCRIPT["read"](path), SCRIPT["repository"]()
    place = address.removeprefix("https://github.com/")
    first, *others = notebook.cells
    assert f"(https://colab.research.google.com/github/{place}/blob/main/colab/{path.name})" in first.source
    assert sum(f"@ git+{address}" in cell.source for cell in others) == 1
    kinds = {kind for _, output in SCRIPT["outputs"](notebook) for kind in output.get("data", {})}
    assert kinds & {"image/png", "image/jpeg"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_show_the_numbers_of_their_results_file(path):
    result = json.loads(SCRIPT["result_file"](path).read_text(encoding="utf-8"))
    assert SCRIPT["headline"](SCRIPT["read"](path)) == result["numbers"]
    assert result["preset"] == SCRIPT["preset_of"](SCRIPT["read"](path))
    assert {"jax", "numpy"} <= result["environment"]["versions"].keys()


def test_another_repository_is_filled_into_badge_and_install_line():
    filled = SCRIPT["filled"]
    line = '%pip install --quiet "zest_jax[demo] @ git+https://github.com/OWNER/zest_jax"'
    assert filled(line, "1_quickstart", "https://github.com/lab/zest") == line.replace("OWNER/zest_jax", "lab/zest")
    badge = filled(
        "[![Open in Colab](https://old/x.svg)](https://old/y)\n\n# Title", "1_a", "https://github.com/lab/zest"
    )
    assert badge.splitlines()[0].endswith("/github/lab/zest/blob/main/colab/1_a.ipynb)")
    assert badge.endswith("\n\n# Title")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("saved to /home/ann/models.store", "a path"),
        ("File C:\\Users\\ann\\x.py", "a path"),
        ("done in 12.3 s", "a duration"),
        ("<Axes at 0x7f3a2b1c9d00>", "an address of an object"),
    ],
)
def test_machine_detail_in_an_output_is_found(kept, text, what):
    from nbformat.v4 import new_output

    kept.cells[2].outputs = [new_output("stream", name="stdout", text=text)]
    assert [found for found in SCRIPT["machine_detail"](kept) if what in found]


def test_outputs_lose_what_tells_of_the_machine(kept):
    from nbformat.v4 import new_output

    noisy = copy.deepcopy(kept)
    noisy.metadata["papermill"] = {"duration": 3.0, "input_path": "/home/ann/a.ipynb"}
    noisy.cells[2].metadata["execution"] = {"iopub.execute_input": "2020-01-01T00:00:00"}
    noisy.cells[2].outputs += [
        new_output("stream", name="stderr", text="/home/ann/x.py:1: warning"),
        new_output("display_data", {"image/png": png(Software="Matplotlib 1"), "text/plain": "<Figure>"}),
    ]
    assert SCRIPT["machine_detail"](noisy)
    stripped = SCRIPT["without_machine_detail"](noisy)
    assert SCRIPT["machine_detail"](stripped) == []
    assert [list(output.data) for output in stripped.cells[2].outputs if "data" in output] == [["image/png"]]
    assert SCRIPT["has_text"](png(Software="Matplotlib 1"))
    assert not SCRIPT["has_text"](png())


def test_cells_that_were_run_in_another_order_are_found(tmp_path, kept):
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    code[0].execution_count, code[1].execution_count = 2, 1
    path = tmp_path / NOTEBOOKS[0].name
    SCRIPT["write"](kept, path)
    assert any("top to bottom" in text for text in SCRIPT["problems"](path))


def test_numbers_agree_within_what_rounding_explains():
    differences = SCRIPT["differences"]
    assert differences({"a": 0.50, "b": True, "c": 0.06}, {"a": 0.45, "b": True, "c": 0.07}) == []
    assert differences({"a": 0.02}, {"a": 0.0}) == []
    assert differences({"a": 0.03}, {"a": 0.0})
    assert differences({"a": 0.0}, {"a": 0.03})
    assert differences({"a": 0.90}, {"a": 0.45}) == ["a is 0.9, kept is 0.45"]
    assert differences({"verdict": "related"}, {"verdict": "can't tell"})
    assert differences({"a": 1}, {"b": 1})


def test_unknown_notebooks_are_refused():
    with pytest.raises(SystemExit, match="there is no notebook 9; choose 1"):
        SCRIPT["notebooks"](["9"])
