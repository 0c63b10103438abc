"""Whether a model takes the kind of inputs it is to be asked about."""

from zest_jax.blackbox.protocol import BlackBox, InputSpec
from zest_jax.data.known import PLURAL, Modality


def check_takes(box: BlackBox, modality: Modality, rate: int | None, *, what: str) -> None:
    """Refuse to ask a model about inputs of another kind than it takes, or sounds of another rate.

    Args:
        box: the model; what it does not tell about itself is not checked.
        modality: of the inputs.
        rate: of sounds, in Hz, or None when unknown.
        what: how the message calls the inputs, plural: "the probes".

    Raises:
        ValueError: it takes texts and these are none, or the other way round; or it takes images and these are sounds, or
            sounds of another rate.

    >>> from zest_jax.blackbox.text import from_texts
    >>> box = from_texts(lambda texts: [[len(text), 1.0] for text in texts], label="lengths")
    >>> check_takes(box, "image", None, what="the queries")
    Traceback (most recent call last):
    ValueError: lengths takes texts, and the queries are images; ...
    """
    wanted = box.spec.rate if isinstance(box.spec, InputSpec) else None
    known = box.settings.get("modality") or ("audio" if wanted is not None else None)
    if known is not None and known != modality:
        at = f" at {wanted:,} Hz" if wanted is not None and known == "audio" else ""
        raise ValueError(
            f"{box.label} takes {PLURAL[known]}{at}, and {what} are {PLURAL[modality]}; give it {PLURAL[known]}"
        )
    if box.takes_texts != (modality == "text"):
        remedy = (
            "give it texts (probes of `text_probes`, or of `zest probes` with a file of texts)"
            if box.takes_texts
            else "wrap the model with from_texts, from_sklearn or from_transformers, or give a JAX model its `tokenizer`"
        )
        takes = "texts" if box.takes_texts else "images or sounds"
        raise ValueError(f"{box.label} takes {takes}, and {what} are {PLURAL[modality]}; {remedy}")
    if wanted is None:
        return
    if rate is None:
        raise ValueError(f"{box.label} takes sounds at {wanted:,} Hz, and the rate of {what} is not known; give it")
    if rate != wanted:
        raise ValueError(
            f"{box.label} takes sounds at {wanted:,} Hz, and {what} are at {rate:,} Hz; give them at the model's rate "
            f"(`--rate {wanted}` resamples), or resample inside the model and give its `rate`"
        )
