import dataclasses

import matplotlib.image
import numpy as np
import pytest

from zest_jax.report import distance_figure, element_weights, signature_figure
from zest_jax.signature import Preview, Signature

CLASSES = ("cat", "dog", "ship")
COUNTS = np.array([3, 4], np.int32)
IMAGE = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
# Reference 1 in four quarters.
SEGMENTS = np.kron(np.array([[0, 1], [2, 3]]), np.ones((4, 3), int)).astype(np.int32)


def made(label: str, seed: int = 0, **changes) -> Signature:
    rng = np.random.default_rng(seed)
    signature = Signature(
        weights=rng.normal(size=(int(COUNTS.sum()), len(CLASSES))).astype(np.float32),
        segment_counts=COUNTS,
        r2=np.ones((len(COUNTS), len(CLASSES)), np.float32),
        variance=np.ones((len(COUNTS), len(CLASSES)), np.float32),
        probe_hash="a" * 64,
        label=label,
        class_names=CLASSES,
        preview=Preview(1, IMAGE, SEGMENTS),
    )
    return dataclasses.replace(signature, **changes)


def overlays(figure, n: int) -> list[np.ndarray]:
    """What is drawn on top in the panels of the n models."""
    return [np.asarray(axes.images[-1].get_array()) for axes in figure.axes[2 : 2 + n]]


def test_every_pixel_gets_the_weight_of_its_own_segment():
    signature = made("victim")
    drawn = element_weights(signature, 1, 2, SEGMENTS)
    for h, w in np.ndindex(*SEGMENTS.shape):
        assert drawn[h, w] == signature.weights[3 + SEGMENTS[h, w], 2]


def test_what_is_never_masked_has_no_weight():
    labels = np.array([2, -1, 0, 3, 1, -1])
    drawn = element_weights(made("victim"), 1, 0, labels)
    np.testing.assert_array_equal(np.isnan(drawn), labels == -1)
    np.testing.assert_array_equal(drawn[labels >= 0], made("victim").of_reference(1)[labels[labels >= 0], 0])


def test_figure_shows_the_weights_of_the_reference_and_class_that_were_asked_for():
    a, b = made("a", 1), made("b", 2)
    figure = signature_figure([a, b], content=IMAGE, segments=SEGMENTS, reference=1, class_index=[0, 2])
    first, second = overlays(figure, 2)
    np.testing.assert_array_equal(first, a.of_reference(1)[SEGMENTS, 0])
    np.testing.assert_array_equal(second, b.of_reference(1)[SEGMENTS, 2])


def test_models_share_one_scale_symmetric_around_zero():
    large = made("large", weights=np.full((7, 3), 5.0, np.float32))
    figure = signature_figure([made("small"), large], reference=1)
    limits = {axes.images[-1].get_clim() for axes in figure.axes[2:4]}
    assert limits == {(-5.0, 5.0)}


def test_one_huge_weight_does_not_pale_all_others():
    segments = np.zeros((20, 20), np.int32)
    segments[0, 0] = 1
    weights = np.array([[1.0], [1000.0]], np.float32)
    ones = np.ones((1, 1), np.float32)
    signature = made("victim", weights=weights, segment_counts=np.array([2]), r2=ones, variance=ones, class_names=None)
    image = np.zeros((20, 20, 3), np.uint8)
    figure = signature_figure(signature, content=image, segments=segments, reference=0)
    assert figure.axes[2].images[-1].get_clim() == (-1.0, 1.0)


def test_zero_signature_is_drawn_all_the_same():
    figure = signature_figure(made("silent", weights=np.zeros((7, 3), np.float32)))
    assert figure.axes[2].images[-1].get_clim() == (-1.0, 1.0)


def test_default_class_is_the_one_with_the_largest_sum_of_weights_and_intercept():
    weights = np.zeros((7, 3), np.float32)
    weights[3:, 1] = 1.0  # reference 1
    weights[:3, 0] = 9.0  # reference 0, not drawn
    figure = signature_figure(made("victim", weights=weights))
    assert "dog" in figure.axes[-1].get_xlabel()
    shifted = made("victim", weights=weights, intercept=np.array([[0, 0, 0], [0, 0, 5]], np.float32))
    assert "ship" in signature_figure(shifted).axes[-1].get_xlabel()


def test_class_is_called_by_its_name_or_by_its_number():
    assert "“cat”" in signature_figure(made("victim"), class_index=0).axes[-1].get_xlabel()
    nameless = made("victim", class_names=None)
    assert "class 2" in signature_figure(nameless, class_index=2).axes[-1].get_xlabel()
    named = signature_figure(nameless, class_index=2, class_names=["x", "y", "z"])
    assert "“z”" in named.axes[-1].get_xlabel()


@pytest.mark.parametrize("n", [1, 2, 3, 6, 8])
def test_any_number_of_models_gets_a_titled_panel_each_and_no_text_overlaps(n):
    signatures = [made(f"a model with quite a long name, number {i}", i) for i in range(n)]
    figure = signature_figure(signatures, distances=[None] + [0.5] * (n - 1))
    figure.draw_without_rendering()
    titles = [axes.title for axes in figure.axes if axes.get_title()]
    assert len(titles) == n + 2
    assert sum("distance 0.500" in t.get_text() for t in titles) == n - 1
    texts = [t.get_window_extent() for t in [*titles, figure.axes[-1].xaxis.label]]
    for i, box in enumerate(texts):
        assert not any(box.overlaps(other) for other in texts[i + 1 :])
        # The layout is found by iteration, to a fraction of a pixel.
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) > -1
    panels = [axes.get_window_extent() for axes in figure.axes if axes.images]
    assert not any(box.overlaps(panel) for box in texts for panel in panels)


def test_picture_of_the_reference_is_taken_from_whichever_signature_keeps_it():
    other = made("other", preview=Preview(0, IMAGE, np.minimum(SEGMENTS, 2)))
    figure = signature_figure([other, made("victim")], reference=1)
    np.testing.assert_array_equal(overlays(figure, 1)[0], other.of_reference(1)[SEGMENTS, _best(other, 1)])
    assert figure.axes[0].get_title() == "reference 1"


def _best(signature: Signature, reference: int) -> int:
    return int(signature.of_reference(reference).sum(axis=0).argmax())


def test_grey_images_and_floats_are_drawn_like_colour_and_bytes():
    grey = IMAGE.mean(axis=-1) / 255
    figure = signature_figure(made("victim"), content=grey, segments=SEGMENTS, reference=1)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_file_is_written_in_the_format_of_its_ending(tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    signature_figure(made("victim"), path=path)
    if ending == "png":
        height, width = matplotlib.image.imread(path).shape[:2]
        assert width > height > 100
    else:
        assert "<svg" in path.read_text()[:500]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_unknown_format_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="does not end in a format that can be drawn"):
        signature_figure(made("victim"), path=tmp_path / "picture.txt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_index": 3}, "victim has classes 0 to 2"),
        ({"class_index": [0, 1]}, "`class_index` has 2 entries for 1 signatures"),
        ({"reference": 2, "content": IMAGE, "segments": SEGMENTS}, "references 0 to 1"),
        ({"reference": 0, "content": IMAGE, "segments": SEGMENTS}, "was signed with 3 segments of reference 0"),
        ({"content": IMAGE, "segments": SEGMENTS}, "say with `reference`"),
        ({"content": IMAGE}, "`content` and `segments` belong together"),
        ({"reference": 0}, r"no signature keeps reference 0 to draw \(kept: \[1\]\)"),
        ({"reference": 1, "content": IMAGE[..., :2], "segments": SEGMENTS}, r"`content` has shape \(8, 6, 2\)"),
        ({"rate": 8000}, "`rate` belongs to a sound given as `content`"),
        ({"reference": 1, "content": "a b", "segments": SEGMENTS[0], "rate": 8000}, "a text and `rate` is 8000"),
        ({"reference": 1, "content": np.array(["a", "b"]), "segments": SEGMENTS}, "`content` holds <U1 values"),
        ({"reference": 1, "content": IMAGE, "segments": SEGMENTS - 2}, "has labels -2 to 1"),
        ({"distances": [None, 0.1]}, "`distances` has 2 entries"),
        ({"class_names": ["one"]}, "1 names for 3 classes"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises((ValueError, IndexError), match=message):
        signature_figure(made("victim"), **arguments)


def test_no_signatures_and_signatures_of_other_probes_are_refused():
    with pytest.raises(ValueError, match="no signatures were given"):
        signature_figure([])
    with pytest.raises(ValueError, match=r"victim was signed with probe set a+, other with b+"):
        signature_figure([made("victim"), made("other", probe_hash="b" * 64)])


def test_distance_figure_writes_every_number_in_its_place(tmp_path):
    distances = np.array([[0, 0.125, 2], [0.125, 0, 3], [2, 3, 0]])
    figure = distance_figure(distances, ["a", "b", "c"], title="cosine", path=tmp_path / "d.png")
    at = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert at == {(j, i): f"{distances[i, j]:.3f}" for i, j in np.ndindex(3, 3)}
    assert (tmp_path / "d.png").stat().st_size > 0


def test_distance_figure_refuses_a_matrix_that_does_not_fit_its_labels():
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for 3 labels"):
        distance_figure(np.zeros((2, 2)), ["a", "b", "c"])
