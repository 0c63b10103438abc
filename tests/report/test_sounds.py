import numpy as np
import pytest
import scipy.signal
from matplotlib.collections import LineCollection

from tests.report.legibility import check_legible
from tests.report.making import made_signature
from zest_jax.probes import audio_probes
from zest_jax.probes.spectrum import Stft
from zest_jax.report import probes_figure, signature_figure
from zest_jax.report.sounds import FLOOR, envelope, spectrogram
from zest_jax.signature import Preview

RATE = 8000
STFT = Stft(n_fft=64, hop=16)
SOUND = (np.sin(np.arange(2000) / 7) * np.linspace(0.1, 0.6, 2000)).astype(np.float32)
WINDOWS = (np.arange(2000) * 5 // 2000).astype(np.int32)
BINS, FRAMES = STFT.shape(2000)
CELLS = ((np.arange(BINS) * 3 // BINS)[:, None] * 4 + np.arange(FRAMES) * 4 // FRAMES).astype(np.int32)


def windowed(label: str = "victim", seed: int = 0, **changes):
    return made_signature(label, [5], seed=seed, **{"preview": Preview(0, SOUND, WINDOWS, RATE), **changes})


def in_cells(label: str = "victim", seed: int = 0, **changes):
    return made_signature(label, [12], seed=seed, **{"preview": Preview(0, SOUND, CELLS, RATE), **changes})


def lines_of(axes) -> np.ndarray:
    """The borders drawn in a panel, [lines, 2, 2]."""
    found = [c for c in axes.collections if isinstance(c, LineCollection)]
    return np.concatenate([np.array(c.get_segments()) for c in found])


def test_every_window_has_the_colour_of_its_own_weight_in_its_own_seconds():
    signature = windowed()
    axes = signature_figure(signature, class_index=2).axes[0]
    shown = axes.images[0]
    row = np.asarray(shown.get_array())[0]
    np.testing.assert_array_equal(row, signature.of_reference(0)[WINDOWS, 2])
    assert shown.get_extent()[:2] == [0, 0.25]
    assert axes.get_xlim() == (0, 0.25)
    np.testing.assert_allclose(lines_of(axes)[:, 0, 0], [0.05, 0.1, 0.15, 0.2])


def test_waveform_is_drawn_over_seconds():
    line = signature_figure(windowed()).axes[0].lines[-1]
    seconds, amplitudes = line.get_data()
    np.testing.assert_allclose(seconds, (np.arange(2000) + 0.5) / RATE)
    np.testing.assert_allclose(amplitudes, SOUND)


def test_int16_is_drawn_in_the_scale_of_floats():
    loud = np.rint(SOUND * 32768).astype(np.int16)
    figure = signature_figure(windowed(), content=loud, segments=WINDOWS, rate=RATE, reference=0)
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_ydata(), SOUND, atol=2e-5)


def test_every_cell_has_the_colour_of_its_own_weight_at_its_own_time_and_frequency():
    signature = in_cells()
    figure = signature_figure([signature, in_cells("other", 1)], class_index=1)
    above, panel = figure.axes[:2]
    assert above.get_title() == "reference 0: 12 cells"
    shown = panel.images[0]
    np.testing.assert_array_equal(np.asarray(shown.get_array()), signature.of_reference(0)[CELLS, 1])
    assert shown.origin == "lower"
    left, right, bottom, top = shown.get_extent()
    second, hertz = STFT.hop / RATE, RATE / STFT.n_fft
    np.testing.assert_allclose([left, right], [-second / 2, (FRAMES - 0.5) * second])
    np.testing.assert_allclose([bottom, top], [-hertz / 2, (BINS - 0.5) * hertz])
    for axes in (above, panel):
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 0.25), (0, 4000))
        assert axes.get_ylabel() == "frequency (Hz)"
    assert figure.axes[2].get_xlabel() == "time (s)"


def test_borders_run_between_cells_and_nowhere_else():
    lines = lines_of(signature_figure(in_cells()).axes[1])
    assert len(lines) == 3 + 2
    upright = sorted(x for (x, _), (x2, _) in lines if x == x2)
    level = sorted(y for (_, y), (_, y2) in lines if y == y2)
    first_frames = [int(np.flatnonzero(CELLS[0] == k)[0]) for k in (1, 2, 3)]
    first_bins = [int(np.flatnonzero(CELLS[:, 0] == k)[0]) for k in (4, 8)]
    np.testing.assert_allclose(upright, (np.array(first_frames) - 0.5) * STFT.hop / RATE)
    np.testing.assert_allclose(level, (np.array(first_bins) - 0.5) * RATE / STFT.n_fft)


def test_borders_follow_cells_of_any_shape():
    cells = np.zeros((BINS, FRAMES), np.int32)
    cells[10:20, 30:50] = 1
    signature = made_signature("victim", [2], preview=Preview(0, SOUND, cells, RATE))
    assert len(lines_of(signature_figure(signature).axes[1])) == 4


@pytest.mark.parametrize(("n_fft", "hop", "samples"), [(64, 16, 2000), (256, 64, 8000), (128, 64, 1001)])
def test_spectrogram_has_the_frames_of_the_transform_that_is_masked(n_fft, hop, samples):
    sound = np.random.default_rng(0).normal(size=samples)
    ours = spectrogram(sound, n_fft, hop)
    theirs = np.abs(scipy.signal.stft(sound, nperseg=n_fft, noverlap=n_fft - hop)[2])
    assert ours.shape == theirs.shape == Stft(n_fft=n_fft, hop=hop).shape(samples)
    np.testing.assert_allclose(ours, np.maximum(20 * np.log10(theirs / theirs.max()), -FLOOR), atol=1e-6)


def test_silence_has_a_spectrogram_and_a_waveform():
    silence = np.zeros_like(SOUND)
    assert (spectrogram(silence.astype(float), 64, 16) == -FLOOR).all()
    check_legible(signature_figure(windowed(), content=silence, segments=WINDOWS, rate=RATE, reference=0))


def test_a_long_sound_is_drawn_by_its_envelope_and_loses_no_peak():
    sound = np.zeros(1_000_000, np.float32)
    sound[[123_456, 654_321]] = 0.9, -0.8
    labels = (np.arange(len(sound)) * 5 // len(sound)).astype(np.int32)
    figure = signature_figure(windowed(), content=sound, segments=labels, rate=RATE, reference=0)
    check_legible(figure)
    axes = figure.axes[0]
    assert not axes.lines
    outline = np.concatenate(
        [p.vertices for c in axes.collections if not isinstance(c, LineCollection) for p in c.get_paths()]
    )
    assert len(outline) < 20_000
    np.testing.assert_allclose([outline[:, 1].max(), outline[:, 1].min()], [0.9, -0.8], rtol=1e-6)
    at = outline[outline[:, 1].argmax(), 0]
    assert abs(at - 123_456 / RATE) < 125 / 1000
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape[1] < 5000
    assert np.unique(shown).size == 5


@pytest.mark.parametrize(("samples", "columns"), [(10, 3), (10, 10), (1000, 7)])
def test_envelope_hangs_together_and_holds_every_sample(samples, columns):
    sound = np.random.default_rng(1).normal(size=samples)
    low, high = envelope(sound, columns)
    part = np.arange(samples) * columns // samples
    starts = np.arange(columns) * samples // columns
    for j, start in enumerate(starts):
        stop = starts[j + 1] + 1 if j + 1 < columns else samples
        assert (low[j], high[j]) == (sound[start:stop].min(), sound[start:stop].max())
    assert (low[1:] <= high[:-1]).all()
    assert (low[:-1] <= high[1:]).all()
    assert part.max() == columns - 1


@pytest.mark.parametrize("make", [windowed, in_cells])
@pytest.mark.parametrize("models", [1, 5])
def test_no_text_overlaps_however_many_models(make, models):
    names = [
        f"a $model$ with quite a long name, number {i}, " + "which goes on and on " * (i % 3) for i in range(models)
    ]
    figure = signature_figure([make(name, i) for i, name in enumerate(names)], distances=[None] + [0.5] * (models - 1))
    check_legible(figure)
    titled = [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]
    assert len(titled) == models
    assert sum("distance 0.500" in title.replace("\n", " ") for title in titled) == models - 1


@pytest.mark.parametrize(("make", "unit"), [(windowed, "time window"), (in_cells, "cell")])
def test_caption_names_the_unit_and_all_models_share_one_scale(make, unit):
    large = make("large")
    large.weights[:] = 7
    figure = signature_figure([make("small"), large], class_index=0)
    assert any(axes.get_xlabel().startswith(f"weight of a {unit} for “class-0”") for axes in figure.axes)
    scaled = [i for axes in figure.axes for i in axes.images if i.get_cmap().name == "RdBu"]
    assert [image.get_clim() for image in scaled] == [(-7, 7)] * 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": None}, r"`content` has shape \(2000,\), a sound, and `rate` is None; give samples per second"),
        ({"content": SOUND[None]}, r"`content` has shape \(1, 2000\) and a `rate`; give one sound of one channel"),
        ({"content": np.arange(2000)}, "the sound is int64; give int16, or float"),
        ({"content": np.full(2000, np.nan)}, "the sound holds NaN or infinity"),
        ({"segments": WINDOWS[:-1]}, r"`segments` has shape \(1999,\) for a sound of 2000 samples"),
        ({"segments": CELLS[:, :-1]}, r"or for each cell \[bins, frames\] of an `Stft`"),
        ({"segments": CELLS}, "was signed with 5 segments of reference 0"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    arguments = {"content": SOUND, "segments": WINDOWS, "rate": RATE, "reference": 0, **given}
    with pytest.raises(ValueError, match=message):
        signature_figure(windowed(), **arguments)


@pytest.mark.parametrize(("segmenter", "n"), [("windows", 1), ("windows", 14), ("stft", 3)])
def test_probe_set_of_sounds_is_drawn_with_its_borders(segmenter, n):
    sounds = np.sin(np.arange(800) / np.arange(3, 3 + n)[:, None]).astype(np.float32)
    settings = {"n_windows": 4} if segmenter == "windows" else {"n_windows": 4, "n_bands": 2, "n_fft": 64, "hop": 32}
    probes = audio_probes(sounds, n, 40, rate=RATE, segmenter=segmenter, segmenter_settings=settings)
    figure = probes_figure(probes)
    check_legible(figure)
    unit = "4 time windows" if segmenter == "windows" else "8 cells"
    titled = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in titled] == [f"reference {i}: {unit}" for i in range(min(n, 12))]
    assert all(len(lines_of(axes)) == (3 if segmenter == "windows" else 4) for axes in titled)
    assert all(axes.get_xlim() == (0, 0.1) for axes in titled)
    assert titled[-1].get_xlabel() == "time (s)"


def test_more_borders_than_can_be_seen_are_not_drawn(monkeypatch):
    drawn = len(lines_of(signature_figure(in_cells()).axes[0]))
    monkeypatch.setattr("zest_jax.report.sounds.MOST_BORDERS", drawn - 1)
    figure = signature_figure(in_cells())
    assert not [c for axes in figure.axes[:2] for c in axes.collections if isinstance(c, LineCollection)]
