"""`zest show`."""

import json

import pytest
from PIL import Image

import zest_jax as zj


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
        ([sig, "--probes", "other.npz"], 1, "was signed with probe set"),
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
