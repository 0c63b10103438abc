"""`zest` with texts and with sounds."""

import json

import numpy as np
import pytest
import soundfile

import zest_jax as zj

MODELS = """
import numpy as np
import zest_jax as zest

def reader():
    return zest.from_texts(lambda batch: [[text.count("good"), text.count("bad"), 1.0] for text in batch], label="reader")

def listener():
    return zest.from_jax(lambda x: (x.reshape(len(x), 8, -1) ** 2).mean(-1), label="listener", rate=8000)
"""


@pytest.fixture
def reviews(here):
    rows = ["a good film", "bad film, bad music", "the music was good", "an old house", "good people in a bad house"]
    (here / "reviews.csv").write_text(
        "review,stars,label\n"
        + "".join(f'"{text}",{i},{"pos" if "good" in text else "neg"}\n' for i, text in enumerate(rows))
    )
    (here / "nets.py").write_text(MODELS)
    return here / "reviews.csv"


@pytest.fixture
def calls(here):
    rng = np.random.default_rng(0)
    for i in range(5):
        (here / "calls" / f"class{i % 2}").mkdir(parents=True, exist_ok=True)
        sound = rng.uniform(-0.5, 0.5, 16000 // 10)
        soundfile.write(here / "calls" / f"class{i % 2}" / f"{i}.{'flac' if i == 4 else 'wav'}", sound, 16000)
    (here / "nets.py").write_text(MODELS)
    return here / "calls"


SMALL = ["--n-references", "4", "--n-samples", "40"]


def test_texts_from_a_table_to_a_distance(zest, reviews, here):
    code, _, err = zest("probes", reviews, "--column", "review", "-o", "p.npz", *SMALL, "--references", "stratified")
    assert code == 0, err
    assert "read 5 texts from" in err
    assert "wrote p.npz: ProbeSet(4 texts of " in err
    assert " words, 40 masks each" in err
    code, _, err = zest("sign", "nets:reader", "--probes", "p.npz", "-o", "reader.sig")
    assert code == 0, err
    code, out, _ = zest("show", "reader.sig", "--json")
    assert (code, json.loads(out)["settings"]["modality"]) == (0, "text")
    assert (here / "reader.sig.png").stat().st_size > 5000
    code, out, err = zest("compare", "nets:reader", "nets:reader", "--inputs", reviews, "--column", "review", *SMALL)
    assert code == 0, err
    assert "cosine distance 0.0000" in out


def test_fill_and_segmenter_of_texts(zest, reviews, here):
    options = ["--column", "review", "--segmenter", "occurrences", "--fill", "[UNK]"]
    assert zest("probes", reviews, "-o", "p.npz", *SMALL, *options)[0] == 0
    probes = zj.ProbeSet.load(here / "p.npz")
    assert (probes.fill.tolist(), probes.settings["segmenter"]) == (["[UNK]"], "occurrences")
    assert zest("probes", reviews, "-o", "q.npz", *SMALL, "--column", "review", "--fill", "remove")[0] == 0
    assert zj.ProbeSet.load(here / "q.npz").fill.tolist() == [""]


def test_sounds_from_a_folder_to_a_signature(zest, calls, here):
    options = ["--rate", "8000", "--segmenter-settings", "n_windows=8", "--fill", "noise"]
    code, _, err = zest("probes", calls, "-o", "p.npz", *SMALL, *options)
    assert code == 0, err
    assert "read 5 sounds of 0.1 s at 8,000 Hz (5 resampled) from" in err
    probes = zj.ProbeSet.load(here / "p.npz")
    assert (probes.modality, probes.rate, probes.n_segments.tolist()) == ("audio", 8000, [8] * 4)
    code, _, err = zest("sign", "nets:listener", "--probes", "p.npz", "-o", "listener.sig")
    assert code == 0, err
    code, out, _ = zest("show", "p.npz", "--no-picture")
    assert code == 0
    assert "8,000 Hz" in out


def test_a_model_of_another_rate(zest, calls, here):
    assert zest("probes", calls, "-o", "p.npz", *SMALL)[0] == 0
    code, _, err = zest("sign", "nets:listener", "--probes", "p.npz", "-o", "listener.sig")
    assert code == 2
    assert "listener takes sounds at 8,000 Hz, and the probes are at 16,000 Hz" in err
    assert not (here / "listener.sig").exists()


def test_bad_inputs_are_named_and_can_be_left_out(zest, reviews, calls, here):
    (here / "lines.txt").write_bytes(b"a good film\n\nbad \xff\nfine and good\nan old house\n")
    code, _, err = zest("probes", "lines.txt", "-o", "p.npz", "--n-references", "3", "--n-samples", "20")
    assert code == 1
    assert "2 of 5" in err
    assert "--skip-bad" in err
    code, _, err = zest("probes", "lines.txt", "-o", "p.npz", "--n-references", "3", "--n-samples", "20", "--skip-bad")
    assert code == 0
    assert err.count("skipped ") == 2
    assert "read 3 texts from lines.txt, 2 unusable left out" in err
    (here / "signs.txt").write_text("a good film\n!!!\nan old house\n")
    code, _, err = zest("probes", "signs.txt", "-o", "p.npz", "--n-references", "3", "--n-samples", "20")
    assert code == 2
    assert "1 of the 3 texts chosen have no word, first text 1 of the pool ('!!!')" in err
    code, _, err = zest("probes", "signs.txt", "-o", "p.npz", "--n-references", "2", "--n-samples", "20", "--skip-bad")
    assert code == 0
    assert "skipped '!!!': it has no word" in err
    assert "read 2 texts from signs.txt, 1 unusable left out" in err
    soundfile.write(calls / "class0" / "stereo.wav", np.random.default_rng(0).uniform(-1, 1, (1600, 2)), 16000)
    soundfile.write(calls / "class0" / "silent.wav", np.zeros(1600), 16000)
    code, _, err = zest("probes", calls, "-o", "s.npz", *SMALL)
    assert code == 1
    assert "stereo.wav" in err
    assert "silent.wav" in err
    code, _, err = zest("probes", calls, "-o", "s.npz", *SMALL, "--skip-bad")
    assert code == 0
    assert "read 5 sounds" in err
    assert "2 unusable left out" in err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--size", "32"], "--size is for images, and reviews.csv holds texts"),
        (["--rate", "8000"], "--rate is for sounds, and reviews.csv holds texts"),
        (
            ["--segmenter", "slic"],
            "--segmenter slic does not cut texts, which reviews.csv holds; choose words, occurrences",
        ),
        (["--segmenter-settings", "rows=3"], "--segmenter words takes no settings"),
    ],
)
def test_options_of_another_modality(zest, reviews, here, extra, message):
    code, _, err = zest("probes", "reviews.csv", "--column", "review", "-o", "p.npz", *SMALL, *extra)
    assert code == 2
    assert message in err
    assert not (here / "p.npz").exists()


def test_a_folder_of_images_and_sounds(zest, calls, here):
    from PIL import Image

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(calls / "cover.png")
    code, _, err = zest("probes", calls, "-o", "p.npz", *SMALL)
    assert code == 2
    assert "has 1 images and 5 sounds" in err
    assert zest("probes", calls, "--modality", "audio", "-o", "p.npz", *SMALL)[0] == 0


def test_one_sound_is_no_folder(zest, calls, here):
    soundfile.write(here / "one.wav", np.random.default_rng(0).uniform(-1, 1, 1600), 16000)
    code, _, err = zest("probes", "one.wav", "-o", "p.npz")
    assert code == 2
    assert "one.wav is one sound; give the folder that it is in" in err


def test_training_leaves_out_what_cannot_be_used(zest, reviews, here):
    pytest.importorskip("optax")
    with (here / "reviews.csv").open("a") as file:
        file.write('"",9,pos\n')
    brief = ["--model", "lstm", "--recipe", "text", "--epochs", "1", "--batch-size", "2", "--option"]
    brief += ["vocabulary=20,embedding=4,hidden=4", "--data", "reviews.csv", "--column", "review", "-o", "run"]
    code, _, err = zest("train", *brief)
    assert code == 1
    assert "1 of 6 texts of reviews.csv cannot be used" in err
    code, _, err = zest("train", *brief, "--skip-bad")
    assert code == 0, err
    assert "skipped reviews.csv line 7: it is empty" in err
    (here / "unlabelled.csv").write_text("review\ngood\nbad\n")
    code, _, err = zest("train", *brief[:-6], "--data", "unlabelled.csv", "-o", "run2")
    assert "unlabelled.csv has no labels: give the table a column, or the JSON lines a field, called `label`" in err
