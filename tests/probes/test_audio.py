"""Probes of sounds: windows, silent gaps and cells of a transform, masks over them, and what models are asked."""

import numpy as np
import pytest
import scipy.signal

import zest_jax as zest
from zest_jax.probes import ProbeSet, audio_probes, segment_sounds
from zest_jax.probes.spectrum import Stft

RATE = 8000


def sounds(n=6, samples=800, seed=0):
    """Noise of a loudness of its own for each clip, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (n, samples)) * rng.uniform(0.2, 0.9, (n, 1))).astype(np.float32)


class TestSegments:
    def test_windows_differ_by_at_most_one_sample(self):
        labels = segment_sounds(sounds(1, 803), RATE, n_windows=7)[0]
        assert sorted(set(np.bincount(labels))) == [114, 115]
        assert (np.diff(labels) >= 0).all()

    def test_cuts_in_the_middle_of_silent_gaps(self):
        sound = np.zeros(8000, np.float32)
        tone = np.sin(np.arange(2000) / 3)
        sound[0:2000], sound[3000:5000], sound[5200:7000] = tone, tone, tone[:1800]
        labels = segment_sounds(sound[None], RATE, method="silence", shortest=0.05)[0]
        # The gap of 25 ms is too short, and the silence at the end lies between no two sounds.
        (cut,) = np.flatnonzero(np.diff(labels))
        assert abs(cut - 2500) <= 0.01 * RATE
        shorter = segment_sounds(sound[None], RATE, method="silence", shortest=0.015)[0]
        assert len(set(shorter.tolist())) == 3

    def test_a_sound_without_gaps_is_one_segment(self):
        assert segment_sounds(sounds(2), RATE, method="silence").max() == 0

    def test_cells_of_time_and_frequency(self):
        labels = segment_sounds(sounds(1, 1000), RATE, method="stft", n_windows=3, n_bands=2, n_fft=64, hop=16)[0]
        assert labels.shape == Stft(n_fft=64, hop=16).shape(1000)
        assert sorted(set(labels.ravel().tolist())) == list(range(6))
        # Low frequencies come first, and time within them.
        assert (labels[0, 0], labels[0, -1], labels[-1, 0]) == (0, 2, 3)

    def test_labels_of_ones_own(self):
        labels = segment_sounds(sounds(2, 10), RATE, method=lambda sound: np.arange(10) // 5 * 7)
        assert labels[1].tolist() == [0] * 5 + [1] * 5

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"method": "beats"}, "unknown segmentation method 'beats'; choose one of 'windows', 'silence', 'stft'"),
            ({"n_windows": 0}, "`n_windows` is 0; give at least 1"),
            ({"n_windows": 11}, "a sound has 10 samples, fewer than the 11 parts"),
            ({"windows": 3}, "unknown setting windows of the segmentation method 'windows'; it takes n_windows"),
            ({"n_windows": "x"}, "`n_windows` is 'x'; give a whole number"),
            ({"n_windows": 2.5}, "`n_windows` is 2.5; give a whole number"),
            ({"method": "stft"}, "a sound has 10 samples, fewer than the 256 of a window of the transform"),
            ({"method": "silence", "threshold": 0.0}, "`threshold` is 0.0; give a finite number above 0"),
            ({"method": "stft", "hop": 100}, "`hop` is 100 for windows of 256 samples"),
            ({"method": "stft", "n_fft": 7}, "`n_fft` is 7; give an even number"),
            ({"method": "stft", "n_bands": 200}, "`n_bands` is 200, but `n_fft` 256 gives 129 bins"),
            ({"method": lambda sound: sound}, "return one integer label for each of its 10 samples"),
            ({"method": np.sign, "n_windows": 2}, "a callable takes no settings, but n_windows arrived"),
        ],
    )
    def test_what_is_refused(self, settings, message):
        with pytest.raises(ValueError, match=message):
            segment_sounds(sounds(1, 10), RATE, **settings)


class TestProbes:
    def test_settings_and_file(self, tmp_path):
        for extra in (
            {},
            {"segmenter": "stft", "segmenter_settings": {"n_windows": 2, "n_bands": 2}},
            {"fill": "noise"},
        ):
            probes = audio_probes(sounds(), 4, 40, rate=RATE, **extra)
            probes.save(tmp_path / "p.npz")
            again = ProbeSet.load(tmp_path / "p.npz")
            assert again.hash == probes.hash
            assert (again.modality, again.rate, again.stft) == ("audio", RATE, probes.stft)
            np.testing.assert_array_equal(again.segments, probes.segments)

    def test_rate_and_transform_are_part_of_the_hash(self):
        found = {audio_probes(sounds(), 4, 40, rate=rate).hash for rate in (8000, 16000)}
        cells = {"segmenter": "stft", "segmenter_settings": {"n_windows": 4, "n_bands": 1}}
        found.add(audio_probes(sounds(), 4, 40, rate=RATE, **cells).hash)
        assert len(found) == 3

    def test_sounds_of_16_bits_stay_so(self):
        stored = (sounds() * 32767).astype(np.int16)
        probes = audio_probes(stored, 4, 40, rate=RATE)
        assert probes.references.dtype == np.int16
        np.testing.assert_array_equal(zest.compose(probes, 0, slice(1))[0], probes.references[0] / np.float32(32768))

    def test_fills(self):
        pool = sounds() * 0.5 + np.float32(0.25)
        pool[:, :200] *= 0.01
        silence, mean, noise = (
            audio_probes(pool, 4, 40, rate=RATE, fill=fill) for fill in ("silence", "mean", "noise")
        )
        assert silence.fill.tolist() == [0.0]
        np.testing.assert_allclose(mean.fill, np.repeat(mean.references.mean(1, keepdims=True), 800, axis=1), atol=1e-6)
        # As loud as the quiet part, which is a hundredth of the rest.
        quiet = noise.references[:, :200].std(axis=1)
        np.testing.assert_allclose(noise.fill.std(axis=1), quiet, rtol=0.25)

    @pytest.mark.parametrize(
        ("pool", "message"),
        [
            (np.zeros((2, 100), np.float32), "2 of 2 sounds are silent, first sound 0"),
            (
                np.stack([sounds(1, 100)[0], np.full(100, np.nan, np.float32)]),
                "1 of 2 sounds hold NaN or infinity, first sound 1",
            ),
            (np.zeros((2, 100, 2), np.float32), "several channels"),
            (sounds(1, 100)[0], "one sound arrived"),
            (sounds(2, 100) * 30000, r"reaches .*, but float sounds must be in \[-1, 1\]; divide by 32768"),
            (np.ones((2, 100), np.int32), "the sounds are int32; pass int16"),
            ([np.zeros(3), np.zeros(4)], "different lengths"),
            (np.zeros((0, 100), np.float32), "none of them 0"),
        ],
    )
    def test_bad_sounds_are_named(self, pool, message):
        with pytest.raises(ValueError, match=message):
            audio_probes(pool, 1, 20, rate=RATE)

    def test_shorter_than_the_windows(self):
        with pytest.raises(ValueError, match="a sound has 10 samples, fewer than the 16 parts"):
            audio_probes(sounds(2, 10), 1, 20, rate=RATE)

    def test_one_window_is_blind(self):
        with pytest.warns(UserWarning, match="single segment .* Cut them into more windows"):
            audio_probes(sounds(), 2, 20, rate=RATE, segmenter="silence")

    def test_a_rate_is_needed(self):
        with pytest.raises(ValueError, match="`rate` is 0; sounds need their samples per second"):
            audio_probes(sounds(), 2, 20, rate=0)
        with pytest.raises(ValueError, match="`rate` and `stft` belong to sounds"):
            ProbeSet.from_arrays(
                references=np.zeros((1, 2, 2, 3), np.uint8),
                segments=np.array([[[0, 0], [1, 1]]]),
                masks=np.ones((1, 3, 2)),
                fill=0.0,
                rate=RATE,
            )

    def test_a_rate_is_a_plain_number(self):
        assert audio_probes(sounds(), 2, 20, rate=np.int64(8000)).hash == audio_probes(sounds(), 2, 20, rate=8000).hash
        with pytest.raises(ValueError, match="`rate` is 8000.5; give a whole number"):
            audio_probes(sounds(), 2, 20, rate=8000.5)  # pyright: ignore[reportArgumentType]

    def test_silence_that_fills_a_clip_up_is_not_its_floor(self):
        pool = sounds()
        pool[:, 600:] = 0
        probes = audio_probes(pool, 3, 20, rate=RATE, fill="noise")
        assert (probes.fill.std(axis=1) > 0.05).all()

    def test_unknown_fill(self):
        with pytest.raises(ValueError, match="unknown fill 'black'; choose 'silence', 'noise', 'mean'"):
            audio_probes(sounds(), 2, 20, rate=RATE, fill="black")


class TestComposition:
    def test_masked_windows_become_the_fill(self):
        probes = audio_probes(sounds(), 3, 40, rate=RATE, fill="noise", segmenter_settings={"n_windows": 5})
        found = zest.compose(probes, 1)
        for mask, sound in zip(probes.masks[1], found, strict=True):
            kept = mask[probes.segments[1]]
            np.testing.assert_array_equal(sound, np.where(kept, probes.references[1], probes.fill[1]))

    @pytest.mark.parametrize("fill", ["silence", "noise"])
    def test_cells_as_scipy_does(self, fill):
        how = {"n_windows": 3, "n_bands": 2, "n_fft": 64, "hop": 16}
        probes = audio_probes(sounds(4, 777), 3, 20, rate=RATE, fill=fill, segmenter="stft", segmenter_settings=how)
        found = zest.compose(probes, 2)
        np.testing.assert_allclose(found[0], probes.references[2], atol=1e-5)
        fill_sound = np.zeros(777) if fill == "silence" else probes.fill[2].astype(np.float64)
        spectra = [scipy.signal.stft(x, nperseg=64, noverlap=48)[2] for x in (probes.references[2], fill_sound)]
        for mask, sound in zip(probes.masks[2], found, strict=True):
            kept = mask[probes.segments[2]]
            expected = scipy.signal.istft(np.where(kept, *spectra), nperseg=64, noverlap=48)[1][:777]
            np.testing.assert_allclose(sound, expected, atol=1e-5)
