"""Whether a source holds images, texts or sounds."""

import os
from pathlib import Path

from zest_jax.data.folder import IMAGE_ENDINGS, find_files
from zest_jax.data.images import kind_of_source
from zest_jax.data.known import Modality
from zest_jax.data.sound_files import OTHER_SOUND_ENDINGS, SOUND_ENDINGS
from zest_jax.data.sound_records import described_features
from zest_jax.data.texts import TEXT_ENDINGS
from zest_jax.data.tfds import is_tfds_folder, is_tfds_name, locate, not_found
from zest_jax.errors import WrongFileError
from zest_jax.wording import counted


def modality_of(source: str | os.PathLike[str], split: str = "train") -> Modality:
    """Say whether a source holds images, texts or sounds: by the features of a data set, else by the names of files.

    Args:
        source: what `load_images`, `load_text_pool` or `load_sound_pool` take.
        split: of a data set.

    Returns:
        "image", "text" or "audio".

    Raises:
        FileNotFoundError: there is no such file, folder or prepared data set.
        FileFormatError: a file is of no known kind, or a folder has both images and sounds, or sounds of other kinds only.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "reviews.csv").write_text("text,label")
    ...     modality_of(f"{folder}/reviews.csv")
    'text'
    """
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() in TEXT_ENDINGS:
            return "text"
        if path.suffix.lower() in SOUND_ENDINGS:
            raise WrongFileError(f"{path} is one sound; give the folder that it is in, with the others")
        kind_of_source(path)
        return "image"
    if path.is_dir() and not is_tfds_folder(path):
        sounds, images = find_files(path, SOUND_ENDINGS), find_files(path, IMAGE_ENDINGS)
        if sounds and images:
            raise WrongFileError(
                f"{path} has {len(images)} images and {len(sounds)} sounds; give a folder of one kind, or say which is meant "
                "(`--modality image`, `--modality audio`)"
            )
        if not sounds and not images and (others := find_files(path, OTHER_SOUND_ENDINGS)):
            raise WrongFileError(
                f"{path} holds {counted(len(others), 'sound')} of a kind that is not read "
                f"({', '.join(sorted({each.suffix.lower() for each in others}))}); supported are "
                f"{', '.join(sorted(SOUND_ENDINGS))}: convert them, such as by `ffmpeg -i IN OUT.wav`"
            )
        return "audio" if sounds else "image"
    if not path.exists() and not is_tfds_name(str(source)):
        raise not_found(str(source))
    features = described_features(locate(str(source), split).folder)
    kinds = {kind for kind, _ in features.values()}
    if "Image" not in kinds and "audio" in features:
        return "audio"
    return "text" if "Text" in kinds and "Image" not in kinds else "image"
