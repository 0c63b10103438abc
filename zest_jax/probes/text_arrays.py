"""Arrays of texts as bytes, for files and fingerprints: NumPy would drop zeros at the end of a string, or pickle it."""

import numpy as np

# No text in UTF-8 holds this byte.
_END = 0xFF


def as_bytes(texts: np.ndarray) -> np.ndarray:
    """Join texts [N] to one array uint8, each in UTF-8 and followed by 255.

    >>> as_bytes(np.array(["a", ""], object)).tolist()
    [97, 255, 255]
    """
    end = bytes([_END])
    return np.frombuffer(b"".join(text.encode() + end for text in texts.tolist()), np.uint8)


def from_bytes(stored: np.ndarray) -> np.ndarray:
    """Undo `as_bytes`; an array of `str` objects [N].

    Raises:
        ValueError: it is not what `as_bytes` made.
    """
    *texts, rest = np.asarray(stored, np.uint8).tobytes().split(bytes([_END]))
    if rest:
        raise ValueError("its texts are cut off")
    found = np.empty(len(texts), object)
    found[:] = [text.decode() for text in texts]
    return found
