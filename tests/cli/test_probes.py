"""`zest probes`."""

import numpy as np
import pytest
from PIL import Image

import zest_jax as zj


def test_probes_are_those_of_the_library(session):
    probes = zj.ProbeSet.load(session.probes)
    with np.load(session.pool) as pool:
        same = zj.image_probes(pool["images"], 4, 64, segmenter="grid", segmenter_settings={"rows": 3, "columns": 3})
    assert probes.hash == same.hash


def test_probes_from_a_folder(zest, here, tiny):
    for i in range(6):
        (here / "photos" / f"class{i % 2}").mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(i).integers(0, 256, (20 + i, 30, 3), np.uint8)
        Image.fromarray(image).save(here / "photos" / f"class{i % 2}" / f"{i}.png")
    code, out, err = zest("probes", "photos", "-o", "p.npz", "--size", "16x24", "--references", "stratified", *tiny)
    assert (code, out) == (0, "")
    assert "read 6 images of 16x24x3 from photos" in err
    assert "wrote p.npz: ProbeSet(4 references of 16x24x3, 9 to 9 super-pixels, 64 masks each" in err
    probes = zj.ProbeSet.load(here / "p.npz")
    assert sorted(i // 3 for i in probes.settings["reference_indices"]) == [0, 0, 1, 1]


def test_fill_and_p(zest, session, here, tiny):
    assert zest("probes", session.pool, "-o", "p.npz", *tiny, "--fill", "0.1,0.2,0.3", "--p", "0.9")[0] == 0
    probes = zj.ProbeSet.load(here / "p.npz")
    np.testing.assert_allclose(probes.fill, [0.1, 0.2, 0.3], rtol=1e-6)
    assert probes.masks.mean() > 0.8


def test_limit_takes_the_first_images_with_references_first(zest, session, here, tiny):
    assert zest("probes", session.pool, "-o", "p.npz", *tiny, "--limit", "8", "--references", "first")[0] == 0
    with np.load(session.pool) as pool:
        np.testing.assert_array_equal(zj.ProbeSet.load(here / "p.npz").references, pool["images"][:4])


def test_unreadable_image_is_named_and_can_be_skipped(zest, here, tiny):
    (here / "photos").mkdir()
    for i in range(5):
        Image.fromarray(np.full((16, 16, 3), 20 * i, np.uint8)).save(here / "photos" / f"{i}.png")
    (here / "photos" / "3.png").write_bytes(b"nonsense")
    code, out, err = zest("probes", "photos", "-o", "p.npz", *tiny)
    assert (code, out) == (1, "")
    assert "error: photos/3.png cannot be read as an image" in err
    assert "--skip-bad" in err
    assert not (here / "p.npz").exists()
    code, _, err = zest("probes", "photos", "-o", "p.npz", "--skip-bad", *tiny)
    assert code == 0
    assert "skipped photos/3.png" in err
    assert "read 4 images of 16x16x3 from photos, 1 unreadable left out" in err


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (
            ["--n-references", "17"],
            2,
            "17 references were asked for but there are only 16 inputs; lower `--n-references`",
        ),
        (["--n-references", "0"], 2, "at least 1 is needed"),
        (["--p", "2"], 2, "`--p`"),
        (["--segmenter-settings", "cells=3"], 2, "unknown setting cells"),
        (["-o", "nowhere/p.npz"], 2, "the folder nowhere does not exist"),
        (["-o", "."], 2, "it is a folder"),
        (["--limit", "0"], 2, "`--limit` is 0"),
    ],
)
def test_impossible_options(zest, session, here, tiny, extra, code, message):
    found, out, err = zest("probes", session.pool, "-o", "p.npz", *tiny, *extra)
    assert (found, out) == (code, "")
    assert message in err
    assert list(here.iterdir()) == []


def test_stratified_needs_classes(zest, here, tiny):
    np.save(here / "pool.npy", np.zeros((8, 16, 16, 3), np.uint8))
    code, _, err = zest("probes", "pool.npy", "-o", "p.npz", *tiny, "--references", "stratified")
    assert code == 2
    assert "--references stratified needs classes" in err


def test_bad_sources(zest, session, here, tiny):
    (here / "empty").mkdir()
    np.save(here / "chw.npy", np.zeros((8, 3, 16, 16), np.uint8))
    for source, expected, message in (
        ("empty", 2, "empty holds no images"),
        ("chw.npy", 2, "channels come first"),
        ("nothing/here", 2, "there is no file or folder"),
        (session.probes, 2, "is a probe set, already made"),
        (session.signatures["victim"], 2, "holds no images that can be read"),
    ):
        code, out, err = zest("probes", source, "-o", "p.npz", *tiny)
        assert (code, out) == (expected, ""), source
        assert message in err
    assert not (here / "p.npz").exists()


def test_one_super_pixel_everywhere_warns(zest, session, here):
    code, _, err = zest(
        "probes", session.pool, "-o", "p.npz", "--n-references", "2", "--n-samples", "8",
        "--segmenter", "grid", "--segmenter-settings", "rows=1,columns=1",
    )  # fmt: skip
    assert code == 0
    assert "warning: 2 of 2 references have a single segment (K = 1)" in err
    assert "Traceback" not in err
