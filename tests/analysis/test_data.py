import sys

import numpy as np
import pytest

from bptt.analysis import DATA, characters, one_hot, shuffled, text, windows
from bptt.analysis.data import random_stream
from bptt.derive import Error

CHARS = characters("the quick brown fox jumps over the lazy dog, äöü €𝄞\n")


def spell(chars, indices):
    return "".join(chars.vocabulary[index] for index in indices)


def test_characters_and_back():
    string = "the quick brown fox jumps over the lazy dog, äöü €𝄞\n"
    assert spell(CHARS, CHARS.indices) == string
    assert list(CHARS.vocabulary) == sorted(set(string)) and len(CHARS) == len(string)


def test_the_default_text_is_all_topics():
    from pydoc_data.topics import topics

    chars = text()
    assert spell(chars, chars.indices) == "\n".join(topics[name] for name in sorted(topics))
    assert chars.source.startswith("pydoc_data.topics of Python 3.")


def test_a_file(tmp_path):
    path = tmp_path / "müll.txt"
    path.write_bytes("\ufeffab\r\nß".encode())
    for given in (path, str(path)):
        chars = text(given)
        assert spell(chars, chars.indices) == "ab\nß" and chars.source == "müll.txt"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"abc\xff\xfe", r"not text in UTF-8 \(byte 3 is 0xff\)\. Give a plain text file in UTF-8"),
        (b"ab\0c", "not text .character 2 is a zero byte."),
        (b"", "the text is empty. Give a text with at least one character"),
        ("\ufeff".encode(), "the text is empty"),
    ],
)
def test_files_that_are_no_text(tmp_path, content, message):
    path = tmp_path / "given.txt"
    path.write_bytes(content)
    with pytest.raises(Error, match=f"given.txt: {message}"):
        text(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Error, match="none.txt: can't be read: no such file or directory. Give a plain text file"):
        text(tmp_path / "none.txt")
    with pytest.raises(Error, match="can't be read: is a directory"):
        text(tmp_path)


def test_a_python_without_topics(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(Error, match="without its help topics .pydoc_data.. Give a text file"):
        text()


def test_windows_are_pieces_of_the_text():
    indices = windows(CHARS, length=7, batch=50, seed=3)
    assert indices.shape == (7, 50)
    whole = spell(CHARS, CHARS.indices)
    assert all(spell(CHARS, column) in whole for column in indices.T)


def test_each_window_is_as_likely_as_any_other():
    chars = characters("abcdefghij")
    starts = windows(chars, length=3, batch=80_000, seed=0)[0]
    counts = np.bincount(starts, minlength=8)
    assert counts.size == 8 and abs(counts - 10_000).max() < 5 * np.sqrt(10_000)  # five deviations


def test_shuffled_keeps_the_frequencies_and_nothing_else():
    chars = characters("ab" * 50 + "c" * 100)
    indices = shuffled(chars, length=500, batch=400, seed=0)
    assert np.bincount(indices.ravel()) / indices.size == pytest.approx([0.25, 0.25, 0.5], abs=0.005)
    pairs = np.bincount((3 * indices[:-1] + indices[1:]).ravel(), minlength=9) / indices[1:].size
    single = np.array([0.25, 0.25, 0.5])
    assert pairs == pytest.approx(np.outer(single, single).ravel(), abs=0.005)  # five deviations


@pytest.mark.parametrize("kind", DATA)
def test_seeds_repeat(kind):
    draw = DATA[kind]
    assert np.array_equal(draw(CHARS, 9, 8, 1), draw(CHARS, 9, 8, 1))
    assert not np.array_equal(draw(CHARS, 9, 8, 1), draw(CHARS, 9, 8, 2))


def test_streams_are_independent():
    drawn = np.stack([random_stream(seed, p).random(10_000) for seed in (0, 1) for p in ("ab", "ba", "a", "")])
    assert abs(np.corrcoef(drawn) - np.eye(8)).max() < 0.05  # five deviations
    assert random_stream(0, "a").random() != np.random.default_rng(0).random()


def test_a_text_that_is_too_short():
    message = "text: the text has 3 characters and windows of 4 were asked for. Give a longer text or fewer steps"
    with pytest.raises(Error, match=message):
        windows(characters("abc"), length=4, batch=1, seed=0)
    assert windows(characters("abc"), length=3, batch=2, seed=0).T.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_a_negative_seed():
    with pytest.raises(Error, match="the seed is -1: give a whole number from 0 on"):
        windows(CHARS, length=4, batch=1, seed=-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_hot(dtype):
    indices = windows(CHARS, length=7, batch=5, seed=0)
    hot = one_hot(indices, len(CHARS.vocabulary), dtype)
    assert hot.dtype == dtype and hot.flags.c_contiguous
    assert (hot.sum(axis=-1) == 1).all() and np.array_equal(hot.argmax(axis=-1), indices)


@pytest.mark.parametrize("indices", [[[0, 3]], [[-1, 0]]])
def test_one_hot_out_of_range(indices):
    with pytest.raises(Error, match="indices run from .* and vectors of 3 were asked for"):
        one_hot(np.array(indices), 3)
