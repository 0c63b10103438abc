"""`zest show`."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import zest_jax as zj

TEXTS = ["to be, or not to be", "all the world's a stage", "the rest is silence"]
RATE = 8000


class Made(NamedTuple):
    """A probe set and a signature made with it."""

    probes: Path
    signature: Path


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> dict[str, Made]:
    """Probe sets and signatures of what is no image; treat as read-only."""
    folder = tmp_path_factory.mktemp("others")
    sounds = (np.sin(np.arange(800) / np.array([[3.0], [5.0], [9.0]])) * np.linspace(0.1, 0.9, 800)).astype(np.float32)
    cells = {"n_windows": 3, "n_bands": 2, "n_fft": 64, "hop": 32}

    def lengths(texts: list[str]) -> np.ndarray:
        return np.array([[len(text), text.count("e")] for text in texts], np.float32)

    def loudness(batch):
        return (batch.reshape(len(batch), 2, 400) ** 2).mean(axis=2)

    windows = {"rate": RATE, "references": "first", "segmenter_settings": {"n_windows": 4}}
    sets = {
        "texts": zj.text_probes(TEXTS, 3, 40, references="first"),
        "tokens": zj.text_probes(TEXTS, 3, 40, references="first", fill="[MASK]"),
        "sounds": zj.audio_probes(sounds, 3, 40, **windows),
        "noise": zj.audio_probes(sounds, 3, 40, fill="noise", **windows),
        "cells": zj.audio_probes(sounds, 3, 40, rate=RATE, segmenter="stft", segmenter_settings=cells),
    }
    made = {}
    for name, probes in sets.items():
        made[name] = Made(folder / f"{name}.npz", folder / f"{name}.sig")
        probes.save(made[name].probes)
        box = zj.from_texts(lengths) if probes.modality == "text" else zj.from_jax(loudness)
        zj.sign(box, probes).save(made[name].signature)
    return made


def test_signature_is_described_and_drawn(zest, session, here):
    code, out, err = zest("show", session.signatures["victim"])
    assert code == 0
    words = " ".join(out.split())
    assert "label victim" in words
    assert "super-pixels 9 to 9 per reference, 36 in all" in words
    assert "R2 of linear fits 0." in words
    assert f"probe set {zj.ProbeSet.load(session.probes).hash[:16]}" in words
    assert "model.mean 0.485, 0.456, 0.406" in words
    assert "solve.ridge 0" in words
    assert "None" not in out
    assert err.strip() == "drew victim.sig.png"
    with Image.open("victim.sig.png") as picture:
        assert min(picture.size) > 200


def test_several_signatures_share_a_picture(zest, session, here):
    code, out, _ = zest("show", *session.signatures.values(), "-o", "all.png")
    assert code == 0
    assert out.count("kind") == 3
    assert (here / "all.png").exists()


def test_json_is_all_there_is_on_stdout(zest, session, here):
    code, out, err = zest("show", session.signatures["victim"], "--json", "--no-picture")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["label"] == "victim"
    assert found["references"] == 4
    assert list(here.iterdir()) == []
    assert len(json.loads(zest("show", *session.signatures.values(), "--json", "--no-picture")[1])) == 3


def test_probe_set_is_described_and_drawn(zest, session, here):
    code, out, _ = zest("show", session.probes, "-o", "p.png")
    assert code == 0
    words = " ".join(out.split())
    assert "references 4 of 32x32x3" in words
    assert "masks 64 per reference" in words
    assert "made by.segmenter.method grid" in words
    with Image.open("p.png") as picture:
        assert picture.size[0] > 3 * picture.size[1] > 600  # four references in a row
    assert json.loads(zest("show", session.probes, "--json", "--no-picture")[1])["kind"] == "probe set"


@pytest.mark.parametrize("reference", [0, 3])
def test_another_reference_is_drawn_from_the_probe_set(zest, session, here, reference):
    arguments = ["show", session.signatures["victim"], "-o", "x.png", "--reference", reference]
    held = zj.Signature.load(session.signatures["victim"]).preview
    assert held is not None
    code, _, err = zest(*arguments)
    assert code == (0 if held.reference_index == reference else 2), err
    assert zest(*arguments, "--probes", session.probes, "--class-index", "2")[0] == 0
    assert (here / "x.png").exists()


def test_wrong_use_is_explained(zest, session, here, models, tiny):
    sig = session.signatures["victim"]
    assert zest("probes", session.pool, "-o", "other.npz", *tiny, "--seed", "5")[0] == 0
    for arguments, expected, message in (
        ([models["victim"]], 2, "is a model, not a signature"),
        (["none.sig"], 2, "there is no file none.sig"),
        ([sig, "--reference", "9", "--probes", session.probes], 2, "the probe set has references 0 to 3"),
        ([sig, "--class-index", "99"], 2, "class"),
        ([sig, "--probes", "other.npz"], 2, "was signed with probe set"),
        ([sig, "-o", "no/x.png"], 2, "the folder no does not exist"),
        ([sig, "-o", "x.png", "--no-picture"], 2, "contradict each other"),
        ([session.probes, sig], 2, "a probe set is shown alone"),
        ([session.probes, "-o", "x.txt"], 2, "does not end in a format that can be drawn"),
        ([session.probes, "--reference", "4"], 2, "--reference is 4; the probe set has references 0 to 3"),
    ):
        code, _, err = zest("show", *arguments)
        assert code == expected, (arguments, err)
        assert message in err
        assert "Traceback" not in err
    assert not list(here.glob("*.png"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("texts", ["references 3 texts of 19 to 23 characters", "words 4 to 6 per reference, 14 in all"]),
        ("texts", ["fill nothing: masked words are taken out", "texts drawn 0, 1, 2"]),
        ("tokens", ["fill [MASK]"]),
        ("sounds", ["references 3 sounds of 0.1 s (800 samples at 8,000 Hz)", "fill 0 ", "sounds drawn 0, 1, 2"]),
        ("sounds", ["time windows 4 to 4 per reference, 12 in all"]),
        ("noise", ["fill per sample"]),
        ("cells", ["cells 6 to 6 per reference, 18 in all", "transform 64 samples every 32"]),
    ],
)
def test_probe_set_of_texts_or_sounds_is_described_in_its_own_words(zest, others, here, name, expected):
    code, out, err = zest("show", others[name].probes, "--no-picture")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in expected:
        assert part in words
    assert "super-pixel" not in words
    assert "image" not in words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("texts", ["references 3 texts", "words 4 to 6 per reference, 14 in all"]),
        ("sounds", ["references 3 sounds at 8,000 Hz", "time windows 4 to 4 per reference, 12 in all"]),
        ("cells", ["references 3 sounds at 8,000 Hz", "cells 6 to 6 per reference, 18 in all"]),
    ],
)
def test_signature_over_texts_or_sounds_is_described_and_drawn(zest, others, here, name, expected):
    code, out, err = zest("show", others[name].signature, others[name].signature, "-o", "two.png")
    assert (code, err.strip()) == (0, "drew two.png")
    words = " ".join(out.split())
    for part in expected:
        assert words.count(part) == 2
    assert "super-pixel" not in words
    for setting in ("NHWC", "value_range", "model.mean", "channels_last"):
        assert setting not in words
    assert "model.adapter" in words
    with Image.open("two.png") as picture:
        assert picture.size[0] == 1232


@pytest.mark.parametrize("name", ["texts", "sounds", "cells"])
def test_any_reference_is_drawn_from_probes_of_texts_or_sounds(zest, others, here, name):
    made = others[name]
    for reference in range(3):
        arguments = ["--probes", made.probes, "--reference", reference, "-o", f"{reference}.png"]
        code, _, err = zest("show", made.signature, *arguments)
        assert code == 0, err
    assert len({Path(f"{reference}.png").read_bytes() for reference in range(3)}) == 3
    assert zest("show", made.probes, "--reference", 1, "-o", "p.png")[0] == 0
    with Image.open("p.png") as picture:
        assert min(picture.size) > 100


def test_json_of_probes_names_what_they_are_of(zest, others):
    found = json.loads(zest("show", others["sounds"].probes, "--json", "--no-picture")[1])
    assert found["references"] == "3 sounds of 0.1 s (800 samples at 8,000 Hz)"
    assert found["made by"]["modality"] == "audio"
