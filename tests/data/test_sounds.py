"""Reading pools of sounds from folders and data sets."""

import sys

import numpy as np
import pytest

from zest_jax.data import load_sound_pool, modality_of
from zest_jax.errors import FileFormatError, MissingExtraError

soundfile = pytest.importorskip("soundfile")


def noise(n=800, channels=1, seed=0):
    """Samples of 16 bits, as floats [n, channels]."""
    return np.random.default_rng(seed).integers(-(2**14), 2**14, (n, channels)).astype(np.float32) / 2**15


def save(path, samples, rate=16000, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def skipping(source, **options):
    """The pool without what is bad, and what was told of that, by the name of the file."""
    told = []
    pool = load_sound_pool(source, skip_bad=True, on_skip=lambda *bad: told.append(bad), **options)
    assert pool.skipped == tuple(name for name, _ in told)
    return pool, {name.rpartition("/")[2]: reason for name, reason in told}


def test_folder_is_read_in_depth_and_sorted_with_sub_folders_as_classes(tmp_path):
    sounds = [noise(n, seed=n) for n in (800, 500, 900, 700)]
    for name, sound in zip(("up/b.wav", "down/2.flac", "down/10.WAV", "up/deep/a.wave"), sounds, strict=True):
        save(tmp_path / name, sound, format="FLAC" if name.endswith("flac") else "WAV")
    (tmp_path / "up" / "notes.txt").write_text("no sound")
    save(tmp_path / ".hidden" / "x.wav", sounds[0])
    pool = load_sound_pool(tmp_path)
    assert (pool.sounds.shape, pool.sounds.dtype, pool.rate, pool.resampled) == ((4, 900), np.float32, 16000, 0)
    assert (pool.class_names, pool.labels.tolist(), pool.labels.dtype) == (("down", "up"), [0, 0, 1, 1], np.int64)
    for found, expected in zip(pool.sounds, [sounds[2], sounds[1], sounds[0], sounds[3]], strict=True):
        np.testing.assert_array_equal(found[: len(expected)], expected[:, 0])
        assert not found[len(expected) :].any()
    assert (len(pool), pool.skipped, pool.source) == (4, (), str(tmp_path))


def test_sounds_outside_sub_folders_have_no_classes(tmp_path):
    save(tmp_path / "a.wav", noise())
    save(tmp_path / "up" / "b.wav", noise(seed=1))
    pool = load_sound_pool(tmp_path)
    assert (len(pool), pool.labels, pool.class_names) == (2, None, None)


@pytest.mark.parametrize(
    "options",
    [
        {"subtype": "PCM_24"},
        {"subtype": "PCM_32"},
        {"subtype": "FLOAT"},
        {"subtype": "DOUBLE"},
        {"format": "WAVEX"},
        {"format": "RF64"},
        {"format": "FLAC"},
    ],
)
def test_ways_to_store_16_bits_and_more_lose_nothing(tmp_path, options):
    save(tmp_path / "a.wav", noise(), **{"format": "WAV", **options})
    np.testing.assert_array_equal(load_sound_pool(tmp_path).sounds[0], noise()[:, 0])


def test_seconds_cut_and_pad(tmp_path):
    save(tmp_path / "a.wav", noise(800))
    save(tmp_path / "b.wav", noise(400, seed=1))
    sounds = load_sound_pool(tmp_path, seconds=0.0375).sounds
    assert sounds.shape == (2, 600)
    np.testing.assert_array_equal(sounds[0], noise(800)[:600, 0])
    assert not sounds[1, 400:].any()
    assert load_sound_pool(tmp_path, seconds=1, rate=8000).sounds.shape == (2, 8000)


def test_limit_takes_the_first_or_random_sounds(tmp_path):
    for i in range(9):
        save(tmp_path / f"{i}.wav", noise(seed=i))
    everything = load_sound_pool(tmp_path).sounds
    np.testing.assert_array_equal(load_sound_pool(tmp_path, limit=2).sounds, everything[:2])
    drawn = load_sound_pool(tmp_path, limit=3, seed=5).sounds
    np.testing.assert_array_equal(drawn, load_sound_pool(tmp_path, limit=3, seed=5).sounds)
    assert not np.array_equal(drawn, everything[:3])
    assert all((everything == sound).all(axis=1).any() for sound in drawn)


class TestRates:
    def test_other_rates_are_resampled_and_counted(self, tmp_path):
        for name, rate in (("a", 16000), ("b", 8000), ("c", 44100)):
            save(
                tmp_path / f"{name}.wav",
                0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate),
                rate,
                subtype="FLOAT",
            )
        with pytest.raises(
            ValueError,
            match=r"3 different sample rates \(1 of 16000 Hz, 1 of 8000 Hz, 1 of 44100 Hz\).*pass `rate` \(`--rate 16000`",
        ):
            load_sound_pool(tmp_path)
        pool = load_sound_pool(tmp_path, rate=16000)
        assert (pool.sounds.shape, pool.rate, pool.resampled) == ((3, 4000), 16000, 2)
        expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 16000)
        for sound in pool.sounds:
            np.testing.assert_allclose(sound[100:-100], expected[100:-100], atol=0.005)

    def test_rates_of_what_is_not_read_do_not_count(self, tmp_path):
        save(tmp_path / "a.wav", noise())
        save(tmp_path / "b.wav", noise(), 8000)
        assert load_sound_pool(tmp_path, limit=1).rate == 16000

    def test_bad_sounds_are_not_counted_as_resampled(self, tmp_path):
        save(tmp_path / "a.wav", noise(), 8000)
        save(tmp_path / "b.wav", np.zeros(800), 8000)
        pool, _ = skipping(tmp_path, rate=16000)
        assert (len(pool), pool.resampled) == (1, 1)


class TestChannels:
    def test_stereo_is_refused_mixed_or_its_first_taken(self, tmp_path):
        stereo = noise(800, 2)
        save(tmp_path / "a.wav", stereo)
        save(tmp_path / "b.wav", noise(seed=1))
        message = (
            r'1 of 2 sounds .*a\.wav: it has 2 channels; pass `channels="mix"` \(`--channels mix`\) to take their mean'
        )
        with pytest.raises(FileFormatError, match=message):
            load_sound_pool(tmp_path)
        np.testing.assert_allclose(load_sound_pool(tmp_path, channels="mix").sounds[0], stereo.mean(1), atol=1e-7)
        np.testing.assert_array_equal(load_sound_pool(tmp_path, channels="first").sounds[0], stereo[:, 0])
        pool, told = skipping(tmp_path)
        np.testing.assert_array_equal(pool.sounds, noise(seed=1).T)
        assert list(told) == ["a.wav"]

    def test_silence_is_judged_by_the_channel_that_is_taken(self, tmp_path):
        save(tmp_path / "a.wav", np.hstack([np.zeros((800, 1)), noise()]))
        assert load_sound_pool(tmp_path, channels="mix").sounds.any()
        with pytest.raises(FileFormatError, match=r"none of the 1 sounds .*it is silent: all 800 samples are 0\."):
            load_sound_pool(tmp_path, channels="first")
        save(tmp_path / "a.wav", np.hstack([noise(), -noise()]))
        with pytest.raises(FileFormatError, match="it is silent: all 800 samples are 0"):
            load_sound_pool(tmp_path, channels="mix")


@pytest.fixture
def bad(tmp_path):
    """A folder with two good sounds and, for each way to be bad, one that is."""
    folder = tmp_path / "pool"
    save(folder / "0-good.wav", noise())
    save(folder / "z-good.flac", noise(seed=1))
    save(folder / "constant.wav", np.full(800, 0.25))
    save(folder / "short.wav", noise(159))
    save(folder / "none.wav", noise(0))
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no sound")
    (folder / "song.mp3").write_bytes(b"ID3")
    (folder / "memo.M4A").write_bytes(b"....ftypM4A")
    (folder / "old.aiff").write_bytes(b"FORM")
    save(folder / "vorbis.wav", noise(), format="OGG")
    special = noise()
    special[3:5] = np.nan
    special[7] = np.inf
    save(folder / "nan.wav", special, subtype="FLOAT")
    save(folder / "loud.wav", 32768 * noise(), subtype="FLOAT")
    whole = save(folder / "cut.wav", noise()).read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    codec = bytearray(whole)
    codec[20:22] = (0x1234).to_bytes(2, "little")
    (folder / "codec.wav").write_bytes(codec)
    whole = save(folder / "half.flac", noise(20_000)).read_bytes()
    (folder / "half.flac").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_codec_in_which_no_place_can_be_sought(tmp_path):
    with soundfile.SoundFile(tmp_path / "g721.wav", "w", 8000, 1, subtype="G721_32") as file:
        file.write(np.random.default_rng(0).uniform(-0.5, 0.5, 800))
    pool = load_sound_pool(tmp_path)
    assert (pool.rate, len(pool.sounds)) == (8000, 1)
    assert pool.sounds.shape[1] >= 800


def test_bad_sounds_are_left_out_and_each_is_named_with_what_is_wrong(bad):
    pool, told = skipping(bad)
    np.testing.assert_array_equal(pool.sounds, [noise()[:, 0], noise(seed=1)[:, 0]])
    expected = {
        "codec.wav": "it cannot be read (Error in WAV",
        "constant.wav": "it is silent: all 800 samples are 0.25",
        "cut.wav": "it is cut off: 1,600 bytes of samples are declared, and 778 are there",
        "empty.wav": "the file is empty",
        "half.flac": "flac decoder lost sync",
        "loud.wav": "its samples go from -16375 to 16320, and must lie in [-1, 1]",
        "memo.M4A": ".m4a is not read; convert it to .wav or .flac",
        "nan.wav": "3 of its 800 samples are NaN or infinite",
        "none.wav": "it holds no samples",
        "old.aiff": ".aiff is not read",
        "short.wav": "it lasts 9.94 ms (159 samples at 16000 Hz); at least 10 ms are needed",
        "song.mp3": ".mp3 is not read",
        "text.wav": "it is of no sound format known here, or damaged at its beginning",
        "vorbis.wav": "it is OGG, whatever its name says",
    }
    assert list(told) == list(expected)
    for name, reason in expected.items():
        assert reason in told[name]


def test_bad_sounds_are_counted_and_the_first_are_named(bad):
    # By their headers, before any sound is read.
    with pytest.raises(
        FileFormatError, match=r"8 of 16 sounds of .*codec\.wav: .*cut\.wav: .*; and 5 more\. .*--skip-bad"
    ):
        load_sound_pool(bad)
    for path in bad.iterdir():
        if path.name not in ("0-good.wav", "constant.wav", "short.wav"):
            path.unlink()
    with pytest.raises(
        FileFormatError, match=r"2 of 3 sounds of .*constant\.wav: it is silent.*short\.wav: it lasts 9\.94 ms"
    ):
        load_sound_pool(bad)
    (bad / "0-good.wav").unlink()
    with pytest.raises(FileFormatError, match="none of the 2 sounds of .* can be used: .*it is silent"):
        load_sound_pool(bad, skip_bad=True)
    for path in bad.iterdir():
        path.unlink()
    (bad / "a.mp3").write_bytes(b"ID3")
    with pytest.raises(FileFormatError, match=r"none of the 1 sounds of .*a\.mp3: \.mp3 is not read"):
        load_sound_pool(bad, skip_bad=True)


def test_samples_a_hair_too_loud_are_clipped(tmp_path):
    sound = noise()
    sound[5], sound[6] = 1.0005, -1.0005
    save(tmp_path / "a.wav", sound, subtype="FLOAT")
    found = load_sound_pool(tmp_path).sounds[0]
    assert found[5:7].tolist() == [1, -1]
    sound[5] = 1.002
    save(tmp_path / "a.wav", sound, subtype="FLOAT")
    with pytest.raises(FileFormatError, match=r"its samples go from -1\.0005 to 1\.002, and must lie in \[-1, 1\]"):
        load_sound_pool(tmp_path)


def test_sound_that_is_silent_where_it_is_cut_is_silent(tmp_path):
    save(tmp_path / "a.wav", np.concatenate([np.zeros((1600, 1)), noise()]))
    assert len(load_sound_pool(tmp_path)) == 1
    with pytest.raises(FileFormatError, match=r"it is silent in its first 0\.1 s: all 1,600 samples are 0"):
        load_sound_pool(tmp_path, seconds=0.1)


@pytest.mark.parametrize("length", [0x7FFFF000, 0xFFFFFFFF])
def test_lengths_that_a_pipe_left_open_are_no_damage(tmp_path, length):
    whole = bytearray(save(tmp_path / "a.wav", noise()).read_bytes())
    whole[4:8] = whole[40:44] = length.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(whole)
    np.testing.assert_array_equal(load_sound_pool(tmp_path).sounds[0], noise()[:, 0])


def test_one_long_file_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("zest_jax.data.sound_set._LARGEST", 5000.0)
    save(tmp_path / "a.wav", noise())
    assert len(load_sound_pool(tmp_path)) == 1
    save(tmp_path / "b.wav", noise(1000))
    with pytest.raises(
        ValueError, match=r"the 2 sounds of .* as long as .*a\.wav \(800 samples\); pass `seconds` to cut"
    ):
        load_sound_pool(tmp_path)
    assert len(load_sound_pool(tmp_path, seconds=0.03)) == 2


def test_sources_that_hold_no_sounds(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileFormatError, match=r"holds no sounds; sound files end in \.flac, \.wav, \.wave"):
        load_sound_pool(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FileFormatError, match=r"holds no sounds \(it holds files with \.txt\)"):
        load_sound_pool(tmp_path)
    with pytest.raises(FileFormatError, match=r"a\.txt holds no sounds that can be read: give a folder"):
        load_sound_pool(tmp_path / "a.txt")
    save(tmp_path / "a.wav", noise())
    with pytest.raises(FileFormatError, match=r"a\.wav is a single sound; give the folder that holds the sounds"):
        load_sound_pool(tmp_path / "a.wav")
    with pytest.raises(FileNotFoundError, match="there is no file or folder .*nothing"):
        load_sound_pool(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no prepared TFDS data set beeps"):
        load_sound_pool("beeps")


def test_folder_of_other_kinds_of_sounds_is_not_taken_for_images(tmp_path):
    for name in ("a.mp3", "b.mp3", "c.m4a", "deep/d.ogg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"ID3")
    message = r"holds 4 sounds of a kind that is not read \(\.m4a, \.mp3, \.ogg\); supported are \.flac, \.wav, \.wave: convert"
    with pytest.raises(FileFormatError, match=message):
        modality_of(tmp_path)
    save(tmp_path / "e.wav", noise())
    assert modality_of(tmp_path) == "audio"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 16}, "`rate` is 16; give samples per second"),
        ({"seconds": 0.001}, r"`seconds` is 0\.001; give a length from 0\.01"),
        ({"seconds": float("nan")}, "`seconds` is nan"),
        ({"channels": "stereo"}, "`channels` is 'stereo'; choose 'mono', 'mix' or 'first'"),
        ({"limit": 0}, "`limit` is 0; read at least 1"),
    ],
)
def test_impossible_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_sound_pool(tmp_path, **arguments)


def test_missing_extra_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.wav", noise())
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r'soundfile is not installed; .*pip install "zest_jax\[audio\]"'):
        load_sound_pool(tmp_path)


class TestDataSets:
    WAVE = np.rint(8000 * np.sin(np.arange(400))).astype(int)

    def test_16_bits_become_floats_at_the_rate_wanted(self, prepare_sounds):
        folder = prepare_sounds(
            "speech_commands", [self.WAVE, self.WAVE[:200], np.full(400, -32768) + self.WAVE.clip(0)]
        )
        pool = load_sound_pool("speech_commands")
        assert (pool.sounds.shape, pool.sounds.dtype, pool.rate, pool.resampled) == ((3, 400), np.float32, 16000, 0)
        np.testing.assert_array_equal(pool.sounds[0] * 32768, self.WAVE)
        assert pool.sounds.min() == -1
        assert (pool.labels.tolist(), pool.class_names) == ([0, 1, 0], ("down", "up"))
        pool = load_sound_pool(folder, rate=8000, seconds=0.02, split="train[:2]")
        assert (pool.sounds.shape, pool.rate, pool.resampled) == ((2, 160), 8000, 2)
        assert "tensorflow" not in sys.modules

    def test_rate_is_the_stored_one_before_the_known_one(self, prepare_sounds, audio_feature):
        audio_feature["audio"]["sampleRate"] = "8000"  # 64-bit integers are strings in the JSON of protocol buffers
        prepare_sounds("speech_commands", [self.WAVE], audio=audio_feature)
        assert load_sound_pool("speech_commands").rate == 8000

    def test_rate_of_a_plain_tensor_is_known_by_name_alone(self, prepare_sounds, tensor_feature):
        prepare_sounds("espeak_commands", [self.WAVE], audio=tensor_feature)
        assert load_sound_pool("espeak_commands", rate=8000).resampled == 1
        prepare_sounds("beeps", [self.WAVE], audio=tensor_feature)
        assert load_sound_pool("beeps").rate is None
        for arguments in ({"rate": 8000}, {"seconds": 1.0}):
            with pytest.raises(ValueError, match="the sample rate of beeps is not known: its features.json names no"):
                load_sound_pool("beeps", **arguments)

    def test_bad_records_are_named(self, prepare_sounds):
        prepare_sounds(
            "speech_commands", [self.WAVE, np.zeros(400), self.WAVE[:100], b"RIFF", np.array([40_000] * 400), []]
        )
        pool, told = skipping("speech_commands")
        assert (len(pool), pool.labels.tolist()) == (1, [0])
        expected = {
            1: "it is silent",
            2: "it lasts 6.25 ms",
            3: "not stored as integers",
            4: "from 40000 to 40000",
            5: "empty",
        }
        assert list(told) == [f"speech_commands record {i}" for i in expected]
        for i, reason in expected.items():
            assert reason in told[f"speech_commands record {i}"]
        message = (
            r"5 of 6 sounds of speech_commands cannot be used: speech_commands record 1: it is silent.*; and 2 more"
        )
        with pytest.raises(FileFormatError, match=message):
            load_sound_pool("speech_commands")

    def test_interleaved_channels(self, prepare_sounds, audio_feature):
        audio_feature["audio"]["shape"] = {"dimensions": ["-1", "2"]}
        prepare_sounds("pairs", [np.stack([self.WAVE, -self.WAVE // 2], axis=1).ravel()], audio=audio_feature)
        with pytest.raises(FileFormatError, match="record 0: it has 2 channels"):
            load_sound_pool("pairs")
        found = load_sound_pool("pairs", channels="first").sounds[0]
        np.testing.assert_array_equal(found * 32768, self.WAVE)
        audio_feature["audio"]["shape"] = {"dimensions": ["-1", "-1"]}
        prepare_sounds("odd", [self.WAVE], audio=audio_feature)
        with pytest.raises(
            FileFormatError, match=r"the sounds of odd have the shape \[-1, -1\]; .* known number of channels"
        ):
            load_sound_pool("odd")
