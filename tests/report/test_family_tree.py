import itertools

import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from tests.report.legibility import check_legible
from zest_jax.report import clustered_figure, reference_figure, tree_figure
from zest_jax.report.drawing import folded
from zest_jax.report.family_tree import MOST_DRAWN
from zest_jax.report.tree_leaves import PLAIN, family_name, spread
from zest_jax.screening import family_tree

NAN = float("nan")
LONG = "a name $\\frac{1}{2}$ <b>of a model</b> that goes on and on without an end in sight, number"


def zoo(n: int, families: int, seed: int = 0) -> np.ndarray:
    """Distances of models in families."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(families, 40))[np.arange(n) % families] + 0.4 * rng.normal(size=(n, 40))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    distances = np.maximum(1 - points @ points.T, 0)
    np.fill_diagonal(distances, 0)
    return (distances + distances.T) / 2


def named(n: int) -> list[str]:
    """Short names, long ones, one that is a single word, one that cannot be seen."""
    names = [f"model-{i}" for i in range(n)]
    names[0] = f"{LONG} 0"
    names[n // 2] = "x" * 200
    names[-1] = "\u202eevil\x00"
    return names


def branches(axes) -> list[np.ndarray]:
    (drawn,) = [each for each in axes.collections if isinstance(each, LineCollection)]
    return [np.asarray(each) for each in drawn.get_segments()]


@pytest.mark.parametrize(("n", "families"), [(2, 2), (3, 2), (11, 3), (13, 4), (60, 9), (61, 8), (130, 40)])
@pytest.mark.parametrize("draw", [clustered_figure, tree_figure])
def test_from_two_models_to_hundreds_no_text_lies_over_anything(draw, n, families):
    distances = zoo(n, families)
    distances[0, 1] = distances[1, 0] = NAN
    figure = draw(distances, named(n), threshold=0.4, marked=n // 3, line=(0.95, "unrelated on average"))
    check_legible(figure)


def test_rows_and_columns_have_the_order_of_the_tree():
    distances = zoo(8, 3)
    figure = clustered_figure(distances, [f"m{i}" for i in range(8)])
    tree, heat = figure.axes[:2]
    order = list(family_tree(distances).order)
    np.testing.assert_array_equal(np.asarray(heat.images[0].get_array()), distances[np.ix_(order, order)])
    assert [label.get_text() for label in heat.get_yticklabels()] == [f"{k}  m{i}" for k, i in enumerate(order, 1)]
    assert [label.get_text() for label in heat.get_xticklabels()] == [str(k) for k in range(1, 9)]
    at = {text.get_position(): text.get_text() for text in heat.texts}
    assert at == {(j, i): f"{distances[order[i], order[j]]:.2f}" for i, j in np.ndindex(8, 8)}
    # A leaf lies beside the middle of its row.
    assert tree.get_position().y0 == pytest.approx(heat.get_position().y0)
    assert tree.get_position().y1 == pytest.approx(heat.get_position().y1)
    assert tree.get_ylim() == heat.get_ylim()


def test_branches_meet_at_the_distances_of_the_tree():
    distances = np.array([[0, 0.1, 0.4], [0.1, 0, 0.6], [0.4, 0.6, 0]])
    first, second = branches(tree_figure(distances, ["a", "b", "c"]).axes[0])
    order = list(family_tree(distances).order)
    assert first[:, 0].tolist() == [0, 0.1, 0.1, 0]
    assert sorted(first[[0, 3], 1].tolist()) == sorted([order.index(0), order.index(1)])
    assert sorted(second[:, 0].round(9).tolist()) == [0, 0.1, 0.5, 0.5]
    assert set(second[[0, 3], 1].tolist()) == {order.index(2), (order.index(0) + order.index(1)) / 2}


def test_families_have_colours_of_their_own_and_what_joins_them_is_grey():
    distances = zoo(6, 2)
    axes = tree_figure(distances, list("abcdef"), threshold=0.4).axes[0]
    (drawn,) = [each for each in axes.collections if isinstance(each, LineCollection)]
    colours = [to_hex(colour) for colour in np.asarray(drawn.get_edgecolor())]
    assert colours[-1] == PLAIN
    assert len(set(colours[:-1])) == 2
    assert [line.get_linestyle() for line in axes.lines].count("--") == 1
    bars = [line for line in axes.lines if line.get_linewidth() == 3]
    assert sorted(tuple(np.round(line.get_ydata(), 2)) for line in bars) == [(-0.38, 2.38), (2.62, 5.38)]
    assert all(np.asarray(line.get_xdata())[0] > 1 for line in bars), "beside the leaves, not over them"
    plain = tree_figure(distances, list("abcdef")).axes[0]
    assert not plain.lines
    assert {to_hex(colour) for colour in np.asarray(plain.collections[0].get_edgecolor())} == {PLAIN}


def test_pairs_without_a_distance_are_grey_and_have_no_number():
    distances = np.array([[0, 0.1, NAN], [0.1, 0, 0.6], [NAN, 0.6, 0]])
    heat = clustered_figure(distances, ["a", "b", "c"]).axes[1]
    assert len(heat.texts) == 7
    assert np.ma.getmaskarray(heat.images[0].get_array()).sum() == 2
    assert "grey: none" in clustered_figure(distances, ["a", "b", "c"]).axes[2].get_xlabel()


def test_the_marked_model_stands_out():
    figure = clustered_figure(zoo(5, 2), list("abcde"), marked=3)
    bold = [label.get_text() for label in figure.axes[1].get_yticklabels() if label.get_fontweight() == "bold"]
    assert [text.split()[1] for text in bold] == ["d"]


def test_hundreds_of_models_are_named_by_their_families():
    distances, names = zoo(90, 6), [f"m{i}" for i in range(90)]
    figure = clustered_figure(distances, names, threshold=0.4)
    assert not figure.axes[1].get_yticklabels()
    assert sorted(text.get_text() for text in figure.texts) == sorted(
        family_name(distances, names, list(range(first, 90, 6))) for first in range(6)
    )
    assert not clustered_figure(distances, names).texts


def test_equal_models_are_drawn_too():
    check_legible(clustered_figure(np.zeros((3, 3)), ["a", "b", "c"], threshold=0.0))
    check_legible(tree_figure(np.zeros((3, 3)), ["a", "b", "c"], threshold=0.0))


def test_a_name_is_no_formula_and_what_cannot_be_seen_is_replaced():
    labels = clustered_figure(zoo(2, 2), ["$\\alpha$", "a\u202eb\nc"]).axes[1].get_yticklabels()
    assert sorted(label.get_text().split("  ")[1] for label in labels) == ["$\\alpha$", "a�b�c"]
    assert not any(label.get_parse_math() for label in labels)


@pytest.mark.parametrize("draw", [clustered_figure, tree_figure])
def test_file_is_written(tmp_path, draw):
    draw(zoo(3, 2), ["a", "b", "c"], path=tmp_path / "zoo.png")
    assert min(matplotlib.image.imread(tmp_path / "zoo.png").shape[:2]) > 100
    with pytest.raises(ValueError, match="does not end in a format that can be drawn"):
        draw(zoo(3, 2), ["a", "b", "c"], path=tmp_path / "zoo.txt")


@pytest.mark.parametrize("draw", [clustered_figure, tree_figure])
def test_what_cannot_be_a_tree_is_refused(draw):
    for distances, labels, message in (
        (np.zeros((2, 2)), ["a"], r"shape \(2, 2\) for 1 labels"),
        (np.zeros((1, 1)), ["a"], f"1 models cannot be drawn as a tree; give 2 to {MOST_DRAWN}"),
        (np.zeros((501, 501)), ["a"] * 501, "501 models cannot be drawn"),
        (np.array([[0, 1], [2, 0]]), ["a", "b"], "`distances` is not symmetric"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(distances, labels)


@pytest.mark.parametrize("places", [[0.0], [0.0, 0.0, 0.0], [5.0, 5.1, 5.2, 9.0], [9.0, 9.0, 9.0]])
def test_places_are_moved_apart_and_stay_inside(places):
    moved = spread(places, gap=1.0, low=0.0, high=9.0)
    assert all(b - a >= 1 - 1e-9 for a, b in itertools.pairwise(moved))
    assert moved[0] >= 0
    assert moved[-1] <= 9


def test_long_names_keep_both_ends():
    name = folded("resnet18-" + "x" * 100 + "-version-3", width=20, lines=2)
    assert name.startswith("resnet18-")
    assert name.endswith("version-3")
    assert "…" in name
    assert all(len(line) <= 20 for line in name.split("\n"))
    assert folded("", width=20, lines=2) == "(no name)"
    assert folded("short", width=20, lines=2) == "short"


@pytest.mark.parametrize("n", [2, 40, 1000])
def test_every_reference_has_a_bar_and_those_drawn_have_their_number(n):
    rng = np.random.default_rng(0)
    distances = rng.uniform(0, 1, n)
    distances[1] = NAN if n > 2 else distances[1]
    figure = reference_figure(distances, 0.4, shown=[0])
    check_legible(figure)
    axes = figure.axes[0]
    heights = sorted(bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle))
    np.testing.assert_allclose(heights, np.sort(distances[~np.isnan(distances)]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0"]
    with pytest.raises(ValueError, match="there is nothing to draw"):
        reference_figure(np.full(3, NAN), 0.4)
