"""What can go wrong, by kind, so that callers can tell a bad file from a bad model.

Wrong arguments are plain `ValueError`s; every error here derives from `ZestError`, every warning from `UserWarning`.
"""


class ZestError(Exception):
    """Base of the errors that this package raises about files, models and signatures."""


class WrongUseError(ZestError):
    """What was asked for cannot be, however often it is tried; the command line ends with exit code 2."""


class ProbeMismatchError(WrongUseError):
    """Two things that must come from the same probe set do not."""


class ModelOutputError(ZestError):
    """A black box answered something that cannot be used: NaN, a wrong shape, another answer to the same input."""


class RemoteError(ZestError):
    """A service cannot be reached, refuses what it is asked, or fails again and again."""


class BudgetError(ZestError):
    """A question was not sent, since the budget of inputs does not reach."""


class DegenerateSignatureError(ZestError):
    """A signature carries no information, so that no distance to it is defined."""


class FileFormatError(ZestError):
    """A file is truncated, damaged, or not of the format it was opened as."""


class WrongFileError(WrongUseError, FileFormatError):
    """A file or folder is sound, but of another kind than what is needed, or has not what is asked of it."""


class StoreError(ZestError):
    """A store of signatures cannot be read or changed: another format, damaged, no room, or other content under a name."""


class NotInStoreError(WrongUseError, StoreError):
    """A store has no such version, or no models, or too few, of those that are meant."""


class NotAStoreError(WrongUseError, StoreError):
    """Where a store of signatures was to be is something else."""


class ClusterError(ZestError):
    """A Ray cluster cannot be reached or used: no such address, other versions, no node with what a model needs."""


class UnsafeFileError(ZestError):
    """Loading the file could run code of its author; refused unless the caller trusts it."""


class NonFiniteLossError(ZestError):
    """A training diverged: its loss became infinite or no number."""


class MissingExtraError(ZestError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class PoorFitWarning(UserWarning):
    """Linear explanations hardly fit a model, so that distances to it say little."""


class ConstantOutputsWarning(PoorFitWarning):
    """A model gave the same outputs whatever was masked, so that no distance to it is defined."""


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """Build the error for an absent optional dependency.

    >>> raise missing_extra("onnxruntime", "onnx")
    Traceback (most recent call last):
    zest_jax.errors.MissingExtraError: onnxruntime is not installed; install it with `pip install "zest_jax[onnx]"`
    """
    return MissingExtraError(f'{what} is not installed; install it with `pip install "zest_jax[{extra}]"`')
