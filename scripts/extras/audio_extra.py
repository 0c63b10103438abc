"""`zest_jax[audio]`: probes are made of sound files."""

import sys
import wave
from pathlib import Path

import numpy as np

from zest_jax.cli.main import main

Path("calls").mkdir()
for i, samples in enumerate(np.random.default_rng(0).integers(-9999, 9999, (4, 8000), np.int16)):
    with wave.open(f"calls/{i}.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())

windows = ["--segmenter-settings", "n_windows=8", "--n-references", "4", "--n-samples", "32"]
sys.exit(main(["probes", "calls", "--rate", "8000", "--seconds", "1", "-o", "calls.npz", *windows]))
