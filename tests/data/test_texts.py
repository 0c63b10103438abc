"""Reading pools of texts from files and data sets."""

import csv
import json
import re
import sys

import numpy as np
import pytest

from zest_jax.data import load_text_pool
from zest_jax.errors import FileFormatError, MissingExtraError


@pytest.fixture
def write(tmp_path):
    """Function that writes a file of strings or bytes, UTF-8 and with its line ends as they are: (name, content)."""

    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def skipping(path, **options):
    """The pool without what is bad, and what was told of that."""
    told = []
    pool = load_text_pool(path, skip_bad=True, on_skip=lambda *bad: told.append(bad), **options)
    assert pool.skipped == tuple(name for name, _ in told)
    return pool, told


class TestLines:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("last", [0, 1, 3])
    def test_each_line_is_a_text_as_it_stands(self, write, end, last):
        texts = ["one two", " three\t", 'a "quote", and more', "naïve 中文 🙂", "separated\u2028and\x0bnot ended\x85"]
        pool = load_text_pool(write("pool.txt", end.join(texts) + last * end))
        assert pool.texts.tolist() == texts
        assert pool.texts.dtype == object
        assert (pool.labels, pool.class_names, pool.skipped, len(pool)) == (None, None, (), 5)
        assert pool.source.endswith("pool.txt")

    def test_mark_at_the_beginning_is_no_part_of_the_first_text(self, write):
        assert load_text_pool(write("pool.txt", "\ufeffone\ntwo")).texts.tolist() == ["one", "two"]

    def test_limit_takes_the_first_or_random_lines(self, write):
        path = write("pool.txt", "\n".join(map(str, range(50))))
        assert load_text_pool(path, limit=3).texts.tolist() == ["0", "1", "2"]
        drawn = load_text_pool(path, limit=7, seed=1).texts.tolist()
        assert drawn == load_text_pool(path, limit=7, seed=1).texts.tolist()
        assert drawn == sorted(drawn, key=int) != [str(i) for i in range(7)]
        assert load_text_pool(path, limit=99).texts.tolist() == [str(i) for i in range(50)]

    def test_bad_lines_are_counted_and_the_first_are_named(self, write):
        path = write("pool.txt", b"good\n\ncaf\xe9 au lait\n \t\nNUL\0\ngood too\n")
        message = (
            r"4 of 6 texts of .*pool\.txt cannot be used: pool\.txt line 2: it is empty; pool\.txt line 3: it is not UTF-8: "
            r"byte 0xE9 follows the first 3 characters; pool\.txt line 4: it holds only white space; and 1 more\. .*--skip-bad"
        )
        with pytest.raises(FileFormatError, match=message):
            load_text_pool(path)
        pool, told = skipping(path)
        assert pool.texts.tolist() == ["good", "good too"]
        assert [name for name, _ in told] == [f"pool.txt line {i}" for i in (2, 3, 4, 5)]
        assert "UTF-16, or no text at all" in told[3][1]

    def test_nothing_but_bad_lines_is_an_error_even_when_skipping(self, write):
        path = write("pool.txt", b"\xff\n\xff\n")
        with pytest.raises(
            FileFormatError, match=r"none of the 2 texts of .* line 1: it is not UTF-8: byte 0xFF .* line 2"
        ):
            load_text_pool(path, skip_bad=True)

    @pytest.mark.parametrize("seed", range(4))
    def test_bad_bytes_spoil_their_own_line_alone(self, write, seed):
        rng = np.random.default_rng(seed)
        lines = [f"text {i} ü".encode() for i in range(40)]
        bad = rng.choice(40, 9, replace=False).tolist()
        for i in bad:
            at = rng.integers(len(lines[i]))
            lines[i] = lines[i][:at] + bytes([rng.choice([0x80, 0xC3, 0xFE, 0xFF])]) + b"z" + lines[i][at:]
        pool, _ = skipping(write("pool.txt", b"\n".join(lines)))
        assert pool.texts.tolist() == [f"text {i} ü" for i in range(40) if i not in bad]
        assert pool.skipped == tuple(f"pool.txt line {i + 1}" for i in sorted(bad))

    def test_there_are_no_columns(self, write):
        with pytest.raises(ValueError, match=r"`column` is 'body', but .*pool\.txt has no columns"):
            load_text_pool(write("pool.txt", "a"), column="body")


class TestTables:
    @pytest.mark.parametrize(("name", "delimiter"), [("pool.csv", ","), ("pool.tsv", "\t"), ("pool.TAB", "\t")])
    def test_what_the_csv_module_writes_is_read_back(self, tmp_path, name, delimiter):
        texts = ["plain", "a, b", 'say "yes"', "two\nlines", "tab\there", "ü 中 🙂", '"', "x" * 200_000]
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerows([["id", "text", "label"], *([i, text, "ab"[i % 2]] for i, text in enumerate(texts))])
        before = csv.field_size_limit()
        pool = load_text_pool(tmp_path / name)
        assert pool.texts.tolist() == texts
        assert pool.labels.tolist() == [0, 1] * 4
        assert (pool.labels.dtype, pool.class_names) == (np.int64, ("a", "b"))
        assert csv.field_size_limit() == before

    def test_column_is_the_one_named_or_the_only_one(self, write):
        path = write("pool.csv", "title, body,label\nT,B,3\nU,C,12\n")
        assert load_text_pool(path, column="body").texts.tolist() == ["B", "C"]
        pool = load_text_pool(path, column="title")
        assert (pool.texts.tolist(), pool.labels.tolist(), pool.class_names) == (["T", "U"], [3, 12], None)
        with pytest.raises(
            FileFormatError, match=r"pool\.csv has the columns title, body, label; pass `column` \(`--column`\)"
        ):
            load_text_pool(path)
        with pytest.raises(FileFormatError, match=r"has no column 'text'; its first row names title, body, label"):
            load_text_pool(path, column="text")
        pool = load_text_pool(write("one.csv", "review,label\nfine,1\n"))
        assert (pool.texts.tolist(), pool.labels.tolist()) == (["fine"], [1])

    def test_numbers_and_names_of_classes_are_not_mixed(self, write):
        pool = load_text_pool(write("pool.csv", "text,label\na,1\nb,-1\n"))
        assert (pool.labels.tolist(), pool.class_names) == ([1, -1], None)
        pool = load_text_pool(write("pool.csv", "text,label\na,10\nb,2\nc,one\n"))
        assert (pool.labels.tolist(), pool.class_names) == ([0, 1, 2], ("10", "2", "one"))

    def test_bad_rows_are_named_by_the_line_they_begin_at(self, write):
        rows = [b"text,label", b'"a', b'line",x', b",y", b"unquoted, comma,x", b"short", b"", b"caf\xe9,x", b"c, "]
        rows += [b'"stray" quote,x', b"d,\xff", b"last,y", b"", b""]
        pool, told = skipping(write("pool.csv", b"\n".join(rows)))
        assert pool.texts.tolist() == ["a\nline", "last"]
        assert (pool.labels.tolist(), pool.class_names) == ([0, 1], ("x", "y"))
        reasons = dict(told)
        assert list(reasons) == [f"pool.csv line {i}" for i in (4, 5, 6, 7, 8, 9, 10, 11)]
        for line, reason in {
            4: "it is empty",
            5: "it has 3 cells for 2 columns; a text that holds a comma, a quote or a line end must be quoted",
            6: "it has 1 cells for 2 columns",
            7: "it is empty",
            8: "it is not UTF-8: byte 0xE9",
            9: "its `label` is missing",
            10: "it is quoted wrongly",
            11: "its `label` cannot be used: it is not UTF-8: byte 0xFF",
        }.items():
            assert reason in reasons[f"pool.csv line {line}"]

    def test_quote_that_is_never_closed_cannot_be_skipped(self, write):
        path = write("pool.csv", 'text\nfine\n"open\nlost\nlost too\n')
        with pytest.raises(FileFormatError, match=r"pool\.csv has a quote that opens in line 3 and is never closed"):
            load_text_pool(path, skip_bad=True)

    def test_quote_that_spans_lines_is_named_with_them(self, write):
        path = write("pool.csv", 'text\n"open\nlost" wrong\nfine\n')
        pool, told = skipping(path)
        assert pool.texts.tolist() == ["fine"]
        assert told[0][0] == "pool.csv line 2"
        assert "lines 2 to 3 are quoted wrongly" in told[0][1]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.csv", "text\n", "holds no texts: nothing follows the names of its columns (text)"),
            ("a.csv", "\na,b\n", "the first row of * names no columns: it is empty"),
            ("a.csv", '"a"b,c\nx,y\n', "the first row of * names no columns: it is quoted wrongly"),
            ("a.csv", "text;label\na;b\n", "seems to separate its columns by ';'; separate them by ','"),
            ("a.csv", "text\tlabel\na\tb\n", r"seems to separate its columns by '\t'"),
            ("a.tsv", "text,label\na,b\n", "seems to separate its columns by ','"),
            ("a.csv", "text,text\na,b\n", "has 2 columns called 'text'; give each a name of its own"),
            ("a.csv", "label\n1\n", "has the columns label; pass `column`"),
            ("a.csv", b"\xe9,b\n1,2\n", r"has the columns \udce9, b; pass `column`"),
        ],
    )
    def test_tables_that_cannot_be_understood(self, write, name, content, message):
        pattern = ".*".join(map(re.escape, message.split("*")))
        with pytest.raises(FileFormatError, match=pattern) as caught:
            load_text_pool(write(name, content))
        str(caught.value).encode()

    def test_odd_names_of_a_single_column_can_be_asked_for(self, write):
        path = write("pool.csv", "text;more\none\n")
        assert load_text_pool(path, column="text;more").texts.tolist() == ["one"]


class TestJsonLines:
    def test_objects_and_strings(self, write):
        lines = ['{"text": "one", "id": 1}', '"two"', '{"id": 3, "text": "three", "other": "x"}']
        pool = load_text_pool(write("pool.jsonl", "\n".join(lines)))
        assert pool.texts.tolist() == ["one", "two", "three"]
        assert pool.labels is None

    def test_field_is_the_one_named_or_the_only_string(self, write):
        path = write("pool.ndjson", '{"id": 1, "body": "b", "label": "x"}\n{"id": 2, "body": "c", "label": "y"}\n')
        pool = load_text_pool(path)
        assert (pool.texts.tolist(), pool.labels.tolist(), pool.class_names) == (["b", "c"], [0, 1], ("x", "y"))
        path = write("two.jsonl", '{"title": "t", "body": "b", "label": 2}\n')
        with pytest.raises(FileFormatError, match=r"two\.jsonl have the fields title, body; pass `column`"):
            load_text_pool(path)
        pool = load_text_pool(path, column="title")
        assert (pool.texts.tolist(), pool.labels.tolist(), pool.class_names) == (["t"], [2], None)
        with pytest.raises(
            FileFormatError, match=r"no line of .* has the field 'text'; their fields: title, body, label"
        ):
            load_text_pool(path, column="text")
        with pytest.raises(FileFormatError, match=r"no field of the objects in .* is a string; their fields: n"):
            load_text_pool(write("numbers.jsonl", '{"n": 1}\n'))

    def test_bad_lines_say_what_they_are(self, write):
        lines = [
            b'{"text": "good", "label": 1}',
            b'{"text": 3.5, "label": 1}',
            b'{"text": null, "label": 1}',
            b"[1, 2]",
        ]
        lines += [b'{"text": "cut', b"", b'{"other": "x", "label": 1}', b'{"text": "caf\xe9", "label": 1}', b"true"]
        lines += [b'{"text": "half \\ud83d", "label": 1}', b'{"text": "", "label": 1}', b'{"text": "no label"}']
        lines += [
            b'{"text": "x", "label": [1]}',
            b'{"text": "x", "label": true}',
            b"[" * 100_000,
            b'{"text": ["x"]}',
            b"7",
        ]
        pool, told = skipping(write("pool.jsonl", b"\n".join(lines)))
        assert (pool.texts.tolist(), pool.labels.tolist()) == (["good"], [1])
        assert [name for name, _ in told] == [f"pool.jsonl line {i}" for i in range(2, 18)]
        expected = [
            "its `text` is the number 3.5, not a string",
            "its `text` is null, not a string",
            "it is a list, not a string or an object",
            "it is no JSON",
            "it is empty",
            "it has no `text`; its fields: other, label",
            "it is not UTF-8: byte 0xE9",
            "it is true, not a string or an object",
            "it holds U+D83D, half of a character written as two",
            "it is empty",
            "its `label` is missing",
            "its `label` is a list; give the name or the number of a class",
            "its `label` is true",
            "it is no JSON",
            "its `text` is a list, not a string",
            "it is the number 7, not a string or an object",
        ]
        for (_, reason), part in zip(told, expected, strict=True):
            assert part in reason

    def test_strings_are_no_objects_with_a_field(self, write):
        pool, told = skipping(write("pool.jsonl", '{"body": "b"}\n"plain"\n'), column="body")
        assert pool.texts.tolist() == ["b"]
        assert told == [("pool.jsonl line 2", "it is a string, not an object with `body`")]

    @pytest.mark.parametrize("seed", range(3))
    def test_any_text_comes_back_whatever_the_file(self, write, seed):
        rng = np.random.default_rng(seed)
        letters = np.array(list("abc \"',\\;\tüß中🙂\u2028\x85"))
        texts = ["x" + "".join(rng.choice(letters, 12)) for _ in range(60)]
        path = write(
            "pool.jsonl", "\n".join(json.dumps(text, ensure_ascii=bool(i % 2)) for i, text in enumerate(texts))
        )
        assert load_text_pool(path).texts.tolist() == texts
        quoted = [text.replace('"', '""') for text in texts]
        path = write("pool.csv", "text\r\n" + "".join(f'"{text}"\r\n' for text in quoted))
        assert load_text_pool(path).texts.tolist() == texts
        assert load_text_pool(write("pool.txt", "\n".join(texts))).texts.tolist() == texts


class TestDataSets:
    def news(self, prepare, records, texts=("title", "description"), labelled=True):
        tfds = pytest.importorskip("tensorflow_datasets")
        features = {text: tfds.features.Text() for text in texts}
        if labelled:
            features["label"] = tfds.features.ClassLabel(names=["World", "Sports"])
        return prepare("news", features, {"train": records, "test": records[:1]})

    def test_title_and_description_or_one_of_them(self, prepare):
        records = [{"title": f" t{i} ".encode(), "description": b"d\xc3\xbc", "label": i % 2} for i in range(4)]
        folder = self.news(prepare, records)
        pool = load_text_pool("news")
        assert pool.texts.tolist() == [f"t{i} dü" for i in range(4)]
        assert (pool.labels.tolist(), pool.class_names) == ([0, 1, 0, 1], ("World", "Sports"))
        assert load_text_pool(folder, column="title", split="train[2:]").texts.tolist() == ["t2", "t3"]
        assert load_text_pool("news:test", column="description").texts.tolist() == ["dü"]
        with pytest.raises(FileFormatError, match="news has the text features description, title, and no 'body'"):
            load_text_pool("news", column="body")
        assert "tensorflow" not in sys.modules

    def test_bad_records_are_named(self, prepare):
        records = [{"text": text} for text in (b"good", b"caf\xe9", b" ", b"good too")]
        self.news(prepare, records, ["text"], labelled=False)
        message = r"2 of 4 texts of news cannot be used: news record 1: it is not UTF-8: byte 0xE9 .*; news record 2: it is empty"
        with pytest.raises(FileFormatError, match=message):
            load_text_pool("news")
        pool, told = skipping("news")
        assert (pool.texts.tolist(), pool.labels) == (["good", "good too"], None)
        assert len(told) == 2
        assert len(load_text_pool("news", limit=1)) == 1

    def test_records_that_cannot_be_read_are_bad_too(self, prepare, monkeypatch):
        self.news(prepare, [{"text": b"x", "label": 0}], ["text"])

        class Damaged:
            def __len__(self):
                return 2

            def __getitem__(self, i):
                if i == 0:
                    raise OSError("broken")
                return {"text": b"fine", "label": 1}

        monkeypatch.setattr("zest_jax.data.text_records.open_split", lambda *_, **__: Damaged())
        pool, told = skipping("news")
        assert (pool.texts.tolist(), pool.labels.tolist()) == (["fine"], [1])
        assert told == [("news record 0", "it cannot be read (broken)")]

    def test_missing_extra_is_named(self, prepare, monkeypatch):
        self.news(prepare, [{"text": b"x", "label": 0}], ["text"])
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
        with pytest.raises(MissingExtraError, match=r'pip install "zest_jax\[data\]"'):
            load_text_pool("news")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"a\.txt holds no texts: it is empty"),
        ("a.csv", b"\n \r\n", r"a\.csv holds no texts: it is empty"),
        ("a.jsonl", b"\xef\xbb\xbf\n", r"a\.jsonl holds no texts: it is empty"),
        ("a.txt", "one\ntwo".encode("utf-16"), r"a\.txt is written in UTF-16 or UTF-32; save it as UTF-8"),
        ("a.csv", "one\ntwo".encode("utf-32"), "UTF-16 or UTF-32"),
        ("a.csv", b"PK\x03\x04...", r"a\.csv is a zip archive \(or an Excel file\), whatever its name says"),
        ("a.txt", b"\x1f\x8b...", "is compressed with gzip"),
        (
            "a.json",
            b"[]",
            r"is no file of texts by its ending; read are \.txt .* if it holds one JSON value a line, call it",
        ),
        ("a.parquet", b"PAR1", r"is no file of texts by its ending; read are .*\(one JSON value a line\)$"),
    ],
)
def test_foreign_files_are_told_apart(write, name, content, message):
    with pytest.raises(FileFormatError, match=message):
        load_text_pool(write(name, content))


def test_sources_that_are_not_there_or_no_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*nothing\.txt"):
        load_text_pool(tmp_path / "nothing.txt")
    with pytest.raises(FileNotFoundError, match="no prepared TFDS data set ag_newz"):
        load_text_pool("ag_newz")
    with pytest.raises(FileFormatError, match="is a folder, and no data set prepared by TFDS; give one file"):
        load_text_pool(tmp_path)
    with pytest.raises(ValueError, match="`limit` is 0; read at least 1"):
        load_text_pool(tmp_path, limit=0)
