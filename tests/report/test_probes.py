import matplotlib.image
import numpy as np
import pytest

from zest_jax.probes import ProbeSet
from zest_jax.report import probes_figure
from zest_jax.report.drawing import grid_shape
from zest_jax.report.photographs import MIN_OUTLINED, MOST_OUTLINED, OUTLINE, outlined


def made(n: int, size: int = 8, channels: int = 3) -> ProbeSet:
    rng = np.random.default_rng(0)
    halves = np.repeat([[0, 1]], size, axis=0).repeat(size // 2, axis=1)
    return ProbeSet.from_arrays(
        references=rng.integers(0, 256, (n, size, size, channels), np.uint8),
        segments=np.stack([halves] * n),
        masks=rng.integers(0, 2, (n, 5, 2)),
        fill=0.5,
    )


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_every_reference_gets_a_panel_until_the_picture_is_full():
    assert titles(probes_figure(made(3))) == [f"reference {i}: 2 super-pixels" for i in range(3)]
    assert titles(probes_figure(made(14))) == [f"reference {i}: 2 super-pixels" for i in range(12)]
    assert titles(probes_figure(made(14), first=11)) == [f"reference {i}: 2 super-pixels" for i in (11, 12, 13)]


def test_panel_shows_its_own_reference():
    probes = made(3)
    shown = np.asarray(probes_figure(probes, first=1).axes[0].images[0].get_array())
    times = len(shown) // 8
    # The middle of each enlarged pixel is left as it is.
    middles = shown[times // 2 :: times, times // 2 :: times]
    np.testing.assert_allclose(middles, probes.references[1] / 255, atol=1e-12)


@pytest.mark.parametrize("size", [8, 224, 700])
def test_lines_run_between_super_pixels_and_nowhere_else(size):
    segments = np.zeros((size, size), int)
    segments[:, size // 2 :] = 1
    drawn = outlined(np.zeros((size, size, 3)), segments)
    assert drawn.shape[0] == drawn.shape[1] >= MIN_OUTLINED
    columns = np.flatnonzero((drawn == OUTLINE).all(axis=(0, 2)))
    assert columns.tolist() == [len(drawn) // 2 - 1, len(drawn) // 2]
    assert (drawn != 0).any(axis=2).sum() == 2 * len(drawn)


def test_grey_references_are_drawn_in_grey():
    shown = np.asarray(probes_figure(made(1, channels=1)).axes[0].images[0].get_array())
    assert shown.shape[-1] == 3
    assert (shown[5, 5] == shown[5, 5, 0]).all()


def test_no_texts_overlap_and_none_leaves_the_picture():
    figure = probes_figure(made(7))
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) > -1


@pytest.mark.parametrize("panels", range(1, 20))
def test_grid_holds_every_panel_in_as_few_rows_as_can_be(panels):
    rows, columns = grid_shape(panels)
    assert columns <= 4
    assert rows == -(-panels // 4)
    assert panels <= rows * columns < panels + rows


def test_file_is_written_in_the_format_of_its_ending(tmp_path):
    probes_figure(made(2), path=tmp_path / "p.png")
    height, width = matplotlib.image.imread(tmp_path / "p.png").shape[:2]
    assert width > height > 100
    probes_figure(made(2), path=tmp_path / "p.pdf")
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(ValueError, match="does not end in a format that can be drawn"):
        probes_figure(made(2), path=tmp_path / "p.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.pdf", "p.png"]


@pytest.mark.parametrize("first", [-1, 3])
def test_a_reference_that_is_not_there_is_refused(first):
    with pytest.raises(ValueError, match=f"`first` is {first}; the probe set has references 0 to 2"):
        probes_figure(made(3), first=first)


@pytest.mark.parametrize("shape", [(20, 640), (3000, 2000)])
def test_long_or_large_images_are_enlarged_as_far_as_there_is_room(shape):
    drawn = outlined(np.zeros((*shape, 3)), np.zeros(shape, int))
    times = drawn.shape[0] // shape[0]
    assert drawn.shape[:2] == (times * shape[0], times * shape[1])
    assert times >= 1
    assert times == 1 or drawn[..., 0].size <= MOST_OUTLINED < (times + 1) ** 2 * np.prod(shape)
