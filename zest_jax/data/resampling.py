"""Sounds at another sample rate, by SciPy's polyphase filter."""

import math

import numpy as np

# Below it a number of kHz was meant, or the sound holds no speech.
_LOWEST = 1000


def checked_rate(rate: int | None) -> int | None:
    """Take a sample rate from a user, in Hz; None stays None.

    Raises:
        ValueError: it is no whole number, or below 1000.

    >>> checked_rate(8000)
    8000
    >>> checked_rate(16)
    Traceback (most recent call last):
    ValueError: `rate` is 16; give samples per second, a whole number from 1000: 16000 for 16 kHz
    """
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate < _LOWEST:
        raise ValueError(
            f"`rate` is {rate!r}; give samples per second, a whole number from {_LOWEST}: 16000 for 16 kHz"
        )
    return int(rate)


def resample(sound: np.ndarray, stored: int, rate: int) -> np.ndarray:
    """Bring a sound from `stored` to `rate` samples per second.

    What lies above half the lower rate is filtered out (windowed sinc, Kaiser's window, 10 zero crossings to each side),
    and the sound is taken to be surrounded by silence. Sample i of the result is at time i / rate.

    Args:
        sound: [samples], int16, or float32 in [-1, 1]; the result has the same type and range. The filter may overshoot a
            little where a sound is at its loudest; that is clipped, and int16 is rounded.
        stored: rate of `sound`, in Hz.
        rate: wanted, in Hz.

    >>> resample(np.full(8, 1000, np.int16), 8000, 16000).dtype, resample(np.zeros(5, np.float32), 16000, 8000).shape
    (dtype('int16'), (3,))
    """
    if stored == rate:
        return sound
    # It takes half a second to import, which only those who resample should wait for.
    from scipy.signal import resample_poly

    common = math.gcd(stored, rate)
    waves = resample_poly(sound.astype(np.float64), rate // common, stored // common)
    if sound.dtype == np.int16:
        return np.rint(waves).clip(-(2**15), 2**15 - 1).astype(np.int16)
    return waves.clip(-1, 1).astype(sound.dtype)


def resampled_length(samples: int, stored: int, rate: int) -> int:
    """How many samples `resample` makes of so many.

    >>> resampled_length(16000, 16000, 8000), resampled_length(5, 16000, 8000)
    (8000, 3)
    """
    return -(-samples * rate // stored)
