"""`zest_jax[onnx]`: a model in an ONNX file is signed."""

import sys

from zest_jax.cli.main import main

sys.exit(main(["sign", "victim.onnx", "--probes", "probes.npz", "-o", "victim.sig"]))
