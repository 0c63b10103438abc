import itertools
import warnings

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from tests.report.legibility import TOLERANCE, boxes_of, check_legible
from tests.report.making import made_signature
from zest_jax.probes import text_probes
from zest_jax.probes.words import segment_texts
from zest_jax.report import probes_figure, signature_figure
from zest_jax.report.texts import legible_on
from zest_jax.signature import Preview

TEXT = "to be, or not to be: that's the question $2 of $3"
LABELS = segment_texts([TEXT])[0]
# LIME's words: "to" and "be" are one segment each, at both of their places.
WORDS = ["to", "be", "or", "not", "that", "s", "the", "question", "2", "of", "3"]
ODD = "漢字 🎉 naïve e\u0301tude عربي \u202e$x^{2}_ \\alpha$ \x07 " + "W" * 120


def made(label: str = "victim", seed: int = 0, text: str = TEXT, **changes):
    labels = segment_texts([text])[0]
    return made_signature(label, [labels.max() + 1], seed=seed, preview=Preview(0, text, labels), **changes)


def grounds_of(axes) -> dict[tuple[float, float], tuple]:
    """Colours of the grounds in a panel, by the column and line at which they begin."""
    return {(box.get_x(), np.floor(box.get_y())): box.get_facecolor()[:3] for box in axes.patches}


def words_of(axes) -> dict[tuple[float, float], str]:
    return {(x, np.floor(y)): word.get_text() for word in axes.texts for x, y in [word.get_position()]}


def test_every_word_stands_on_the_colour_of_its_own_weight():
    signature = made()
    axes = signature_figure(signature, class_index=1).axes[0]
    weights = signature.of_reference(0)[:, 1]
    limit = np.abs(weights).max()
    grounds, words = grounds_of(axes), words_of(axes)
    assert [words[place] for place in grounds] == [
        "to",
        "be",
        "or",
        "not",
        "to",
        "be",
        "that",
        "s",
        "the",
        "question",
        "2",
        "of",
        "3",
    ]
    for place, colour in grounds.items():
        weight = weights[WORDS.index(words[place])]
        expected = colormaps["RdBu"]((weight + limit) / (2 * limit))[:3]
        np.testing.assert_allclose(colour, expected, atol=0.01)


def test_what_is_never_masked_stands_on_no_colour():
    axes = signature_figure(made()).axes[0]
    bare = {word.strip() for place, word in words_of(axes).items() if place not in grounds_of(axes)}
    assert bare == {",", ":", "'", "$"}


def test_models_are_stacked_and_share_one_scale():
    small, large = (
        made("small", weights=np.full((11, 3), 1.0, np.float32)),
        made("large", weights=np.full((11, 3), 5.0, np.float32)),
    )
    figure = signature_figure([small, large], distances=[None, 0.25])
    upper, lower = figure.axes[:2]
    assert upper.get_position().y0 > lower.get_position().y1
    assert [axes.get_title("left") for axes in (upper, lower)] == ["small", "large, distance 0.250"]
    assert set(grounds_of(lower).values()) == {colormaps["RdBu"](1.0)[:3]}
    np.testing.assert_allclose(next(iter(grounds_of(upper).values())), colormaps["RdBu"](0.6)[:3], atol=0.01)
    assert figure.axes[-1].get_xlabel().startswith("weight of a word for “class-")


@pytest.mark.parametrize(
    ("text", "models"), [(TEXT, 5), (ODD, 1), ("all the world's a stage, " * 40, 2)], ids=["short", "odd", "long"]
)
def test_no_word_leaves_its_ground_and_no_grounds_overlap(text, models):
    signatures = [made(f"a model with a long name, number {i}, as long as this", i, text) for i in range(models)]
    figure = signature_figure(signatures)
    check_legible(figure)
    for axes in figure.axes[:-1]:
        frame = axes.get_window_extent()
        grounds = [patch.get_window_extent() for patch in axes.patches if isinstance(patch, Rectangle)]
        ordered = sorted(grounds, key=lambda box: (-round(box.y0), box.x0))
        for box, following in itertools.pairwise(ordered):
            assert round(box.y0) > round(following.y1) or box.x1 <= following.x0 + 0.01
        for box in grounds:
            assert frame.x0 - 0.01 <= box.x0 <= box.x1 <= frame.x1 + 0.01
            assert frame.y0 - 0.01 <= box.y0 <= box.y1 <= frame.y1 + 0.01
        for word in axes.texts:
            box = word.get_window_extent()
            own = [g for g in grounds if g.contains(box.x0 + 2, (box.y0 + box.y1) / 2)]
            assert all(box.x1 <= ground.x1 + TOLERANCE for ground in own)
    letters = list(boxes_of(figure, of_words=True))
    assert letters
    by_line: dict[int, list] = {}
    for _, box in letters:
        by_line.setdefault(round(box.y0 / 3), []).append(box)
        assert box.x1 < figure.bbox.x1 - TOLERANCE
        assert min(box.x0, box.y0, figure.bbox.y1 - box.y1) > 0
    for line in by_line.values():
        line.sort(key=lambda box: box.x0)
        for box, following in itertools.pairwise(line):
            assert box.x1 <= following.x0 + TOLERANCE


def test_letters_have_the_columns_that_they_were_given():
    figure = signature_figure(made(text="i " * 40 + "W" * 60))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    column = axes.transData.transform((1, 0))[0] - axes.transData.transform((0, 0))[0]
    for word in axes.texts:
        width = word.get_window_extent().width
        # Letters reach neither border of their columns; a proportional font would be far off.
        assert (len(word.get_text()) - 1) * column < width + TOLERANCE
        assert width < len(word.get_text()) * column + TOLERANCE


def test_letters_stand_out_from_every_colour_of_the_scale():
    for share in np.linspace(0, 1, 101):
        ground = colormaps["RdBu"](share)[:3]
        contrast = _contrast(ground, to_rgb(legible_on(ground)))
        other = _contrast(ground, to_rgb("black" if legible_on(ground) == "white" else "white"))
        assert contrast >= max(other - 0.01, 4.5)
    words = (
        signature_figure(made(weights=np.repeat(np.linspace(-9, 9, 11, dtype=np.float32)[:, None], 3, 1))).axes[0].texts
    )
    assert {word.get_color() for word in words} == {"black", "white"}


def _contrast(a, b) -> float:
    """WCAG's ratio, from its definition."""

    def luminance(colour):
        linear = np.where(
            np.array(colour) <= 0.04045, np.array(colour) / 12.92, ((np.array(colour) + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_of_a_long_text_the_beginning_is_drawn_and_the_rest_is_counted():
    text = "all the world's a stage, " * 400
    figure = signature_figure([made(text=text)] * 6)
    assert figure.get_figheight() < 18
    last = figure.axes[0].texts[-1].get_text()
    drawn = sum(len(word.get_text().replace(" ", "")) for word in figure.axes[0].texts[:-1])
    assert last.startswith("... ")
    assert last.endswith(" characters more")
    left_out = int(last.split()[1].replace(",", ""))
    assert drawn == len(text[: len(text) - left_out].replace(" ", ""))


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_any_characters_are_drawn_without_a_formula_or_a_warning(tmp_path, ending):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signature = made("a $model$ of $x^{2$", text=ODD, class_names=("a $b", "c_{$", "$d$"))
        figure = signature_figure(signature, path=tmp_path / f"t.{ending}")
    assert "".join(words_of(figure.axes[0]).values()).count("$") == 2
    assert (tmp_path / f"t.{ending}").stat().st_size > 1000


def test_labels_of_a_probe_set_may_go_on_after_the_end_of_a_text():
    padded = np.append(LABELS, np.full(30, -1))
    assert signature_figure(made(), content=TEXT, segments=padded, reference=0).axes[0].patches


@pytest.mark.parametrize("segments", [LABELS[:-1], np.append(LABELS, 0), LABELS[None]])
def test_labels_that_do_not_fit_the_text_are_refused(segments):
    with pytest.raises(ValueError, match="for a text of 49 characters; give one label for each, and -1 after the end"):
        signature_figure(made(), content=TEXT, segments=segments, reference=0)


def test_probe_set_of_texts_colours_words_in_turns():
    texts = [TEXT, "one two three", "all the world's a stage, " * 80, "one"]
    probes = text_probes(texts, 4, 40, references="first")
    figure = probes_figure(probes)
    check_legible(figure)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [f"reference {i}: {n}" for i, n in enumerate(["11 words", "3 words", "6 words", "1 word"])]
    grounds = grounds_of(figure.axes[1])
    assert len(set(grounds.values())) == 3
    # Words that are masked together have one colour.
    first = grounds_of(figure.axes[0])
    words = words_of(figure.axes[0])
    assert len({first[place] for place, word in words.items() if word == "to"}) == 1
    assert "characters more" in figure.axes[2].texts[-1].get_text()
    assert len(probes_figure(probes, first=3).axes) == 1


def test_segments_of_neighbouring_words_differ_in_colour():
    probes = text_probes([" ".join(f"w{i}" for i in range(30))], 1, 40)
    colours = list(grounds_of(probes_figure(probes).axes[0]).values())
    assert all(a != b for a, b in itertools.pairwise(colours))
