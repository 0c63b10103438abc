"""Sounds at another sample rate: against sines, whose samples are known at any rate."""

import numpy as np
import pytest

from zest_jax.data.resampling import checked_rate, resample, resampled_length

RATES = [(16000, 8000), (8000, 16000), (44100, 16000), (22050, 8000), (16000, 11025), (48000, 44100)]


def sine(frequency, rate, seconds=0.5, loudness=0.5):
    return loudness * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize(("stored", "rate"), RATES)
@pytest.mark.parametrize("frequency", [100.0, 997.0, 2500.0])
def test_sine_keeps_its_frequency_amplitude_and_phase(stored, rate, frequency):
    found = resample(sine(frequency, stored).astype(np.float32), stored, rate)
    expected = sine(frequency, rate)
    assert found.dtype == np.float32
    assert len(found) == resampled_length(round(0.5 * stored), stored, rate)
    # Away from the ends, before and after which there is silence.
    middle = slice(rate // 20, -rate // 20)
    n = min(len(found), len(expected))
    np.testing.assert_allclose(found[:n][middle], expected[:n][middle], atol=0.005)
    spectrum = np.abs(np.fft.rfft(found[:n][middle] * np.hanning(len(found[:n][middle]))))
    loudest = spectrum.argmax() * rate / len(found[:n][middle])
    assert abs(loudest - frequency) <= rate / len(found[:n][middle])


def test_what_the_lower_rate_cannot_hold_is_filtered_out():
    # 7 kHz would come back as 1 kHz if every second sample were taken.
    found = resample(sine(7000, 16000).astype(np.float32), 16000, 8000)
    assert np.abs(found[400:-400]).max() < 0.005


@pytest.mark.parametrize(("stored", "rate"), RATES)
def test_16_bits_are_rounded_as_floats_would_be(stored, rate):
    whole = np.rint(32768 * sine(440, stored)).astype(np.int16)
    found = resample(whole, stored, rate)
    assert found.dtype == np.int16
    floats = resample((whole / 32768).astype(np.float32), stored, rate)
    assert np.abs(found - 32768.0 * floats).max() <= 0.51


def test_overshoot_is_clipped_and_never_wraps():
    # The filter overshoots at each edge of a square as loud as can be.
    square = np.where(np.arange(1600) // 50 % 2, 32767, -32768).astype(np.int16)
    found = resample(square, 16000, 8000)
    assert found.min() == -32768
    assert found.max() == 32767
    assert (np.sign(found[:-1:25][1:]) == np.sign(square[:-1:50][1:])).all()
    floats = resample((square / 32768).astype(np.float32), 16000, 8000)
    assert np.abs(floats).max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_same_rate_changes_nothing_and_length_follows_the_rate(seed):
    rng = np.random.default_rng(seed)
    sound = rng.integers(-(2**15), 2**15, rng.integers(1, 500)).astype(np.int16)
    np.testing.assert_array_equal(resample(sound, 16000, 16000), sound)
    stored, rate = rng.integers(1000, 48000, 2).tolist()
    assert len(resample(sound, stored, rate)) == resampled_length(len(sound), stored, rate)


@pytest.mark.parametrize("rate", [0, -8000, 16, 999, 16000.0, True, "16000"])
def test_rates_that_were_not_meant_are_refused(rate):
    with pytest.raises(
        ValueError, match="`rate` is .*; give samples per second, a whole number from 1000: 16000 for 16 kHz"
    ):
        checked_rate(rate)


def test_rates_may_be_numbers_of_numpy():
    assert checked_rate(np.int64(8000)) == 8000
    assert checked_rate(None) is None
