"""A study's file: what it may say, and each mistake at its path with its value."""

import re
from pathlib import Path

import pytest

import bptt
from bptt.analysis.studies.plan import describe
from bptt.analysis.studies.show import write_template

GOOD = 'cells = "rnn"\nlengths = 9\n[measures.flow]\n'


@pytest.fixture
def load(tmp_path):
    def written(text, name="study.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return bptt.Study.load(path)

    return written


def mistakes(load, text):
    with pytest.raises(bptt.Error) as caught:
        load(text)
    return str(caught.value)


def test_the_template_is_a_study(tmp_path):
    path = tmp_path / "new.toml"
    write_template(path)
    study = bptt.Study.load(path)
    assert len(study.plan.groups) == 2 and len(study.plan.starts) == 3 and study.plan.seeds == (0, 1, 2, 3, 4)
    with pytest.raises(bptt.Error, match="is there already"):
        write_template(path)


def test_the_defaults_in_the_template_are_the_defaults(tmp_path):
    path = tmp_path / "new.toml"
    write_template(path)
    text = path.read_text(encoding="utf-8")
    others = ("# text", "# [sizes]", "# n =")
    bare = "\n".join(line for line in text.splitlines() if not line.startswith(others))
    path.write_text(bare.replace("# hidden", "hidden").replace("# batch", "batch"), encoding="utf-8")
    explicit = bptt.Study.load(path)
    path.write_text(text, encoding="utf-8")
    assert describe(explicit.plan) == describe(bptt.Study.load(path).plan)


def test_a_study_says_where_a_text_sets_the_size_of_a_state(load, tmp_path):
    (tmp_path / "wide.cell").write_text("x: input[n]\nh: state[n]\nh = tanh(W @ h + x)", encoding="utf-8")
    (tmp_path / "poem.txt").write_text("abcab" * 9, encoding="utf-8")
    text = 'cells = ["rnn", "wide.cell"]\nhidden = 3\nlengths = [5, 6]\nmeasures = "flow"\ndata = '
    assert load(text + '["poem.txt", "noise"]').notes == [
        "'wide' has n = 3, as many as there are characters: its state h is as wide as its input x"
    ]
    assert load(text + '"noise"').notes == []


def test_every_axis_is_a_value_or_a_list(load, tmp_path):
    (tmp_path / "mine.cell").write_text("x: input[m]\nh: state[k]\nh = tanh(W @ x + U @ h)")
    (tmp_path / "poem.txt").write_text("the rain in spain " * 9, encoding="utf-8")
    study = load(
        'cells = ["rnn", "mine.cell"]\nhidden = [3, 4]\nlengths = [5, 6]\ndata = ["text", "noise", "poem.txt"]\n'
        'seeds = [3, 1]\nmeasures = "flow"\n[sizes]\nk = [2, 7]\n[[initialisation]]\ngain = [0.5, 1]\n'
        "[[initialisation]]\ngain = 2.0\n"
    )
    paths = [group.path for group in study.plan.groups]
    assert paths[:4] == ["rnn/n=3,T=5/flow", "rnn/n=3,T=6/flow", "rnn/n=4,T=5/flow", "rnn/n=4,T=6/flow"]
    assert paths[4:] == [f"mine/k={k},T={T}/flow" for k in (2, 7) for T in (5, 6)]
    assert [start["gain"] for start in study.plan.starts] == [0.5, 1, 2.0]
    assert study.plan.seeds == (3, 1)
    assert [one.kind for one in study.plan.data] == ["text", "noise", "text"]
    assert study.plan.groups[0].feeds[2].sizes["m"] == 10  # characters of the poem
    assert study.store == str(tmp_path / "study.zarr")


def test_a_vocabulary_sets_the_size_of_a_state_only_where_it_is_read(load, tmp_path):
    (tmp_path / "fast.cell").write_text("x: input[n]\nA: state[n, n]\nA = 0.9 * A + outer(x, tanh(A @ x))")
    text = 'cells = "fast.cell"\nhidden = 4\nlengths = 9\nmeasures = "flow"\n'
    assert [group.path for group in load(f'{text}data = "noise"').plan.groups] == ["fast/n=4,T=9/flow"]
    read = load(f'{text}data = ["noise", "text"]').plan.groups[0]
    assert read.path == "fast/T=9/flow" and read.feeds[0].sizes == read.feeds[1].sizes


def test_the_same_sizes_by_two_ways_are_one_point(load):
    study = load(GOOD.replace("lengths", "hidden = [4, 5]\nlengths").replace("[measures", "[sizes]\nn = 3\n[measures"))
    assert [group.path for group in study.plan.groups] == ["rnn/n=3,T=9/flow"]


@pytest.mark.parametrize(
    "line, message",
    [
        ("cels = 'rnn'", r"cels = 'rnn': no key is called 'cels'. Did you mean 'cells'\?"),
        ("hidden = 0", "hidden = 0: input should be greater than or equal to 1"),
        ("hidden = [8, -2]", r"hidden\[1\] = -2: input should be greater"),
        ("hidden = 2.5", "hidden = 2.5: input should be a valid integer"),
        ("hidden = []", r"hidden = \[\]: the list is empty: give at least one"),
        ("hidden = true", "hidden = True: input should be a valid integer"),
        ("hidden = [8, 8]", r"hidden holds 8 twice"),
        ("batch = [1, 2]", r"batch = \[1, 2\]: input should be a valid integer"),
        ("seeds = []", r"seeds = \[\]: the list is empty"),
        ("seeds = 0", "seeds = 0: should be how many seeds there are, from 1 on"),
        ("seeds = [0, -1]", r"seeds\[1\] = -1: input should be greater than or equal to 0"),
        ("seeds = [1, 1]", "seeds holds 1 twice"),
        ("title = 3", "title = 3: input should be a valid string"),
        ("data = 'txt'", "data = 'txt': no kind of data is called 'txt'. Did you mean 'text'"),
        ("data = 'missing.txt'", "data = 'missing.txt': .*missing.txt: can't be read: no such file"),
        ("data = ['text', 'binary.txt']", r"data\[1\] = 'binary.txt': .*not text in UTF-8 \(byte 0 is 0xff\)"),
        ("data = 3", "data = 3: should be text, shuffled, noise or the path of a text file"),
        ("text = 'missing.txt'", "text = 'missing.txt': .*can't be read"),
        ("data = 'short.txt'", r"lengths = \[9\]: the text short.txt has 3 characters"),
        ("sizes.q = 2", "sizes.q: no cell here has a dimension called 'q'. Known: m, n"),
        ("sizes = [4]", r"sizes = \[4\]: write a table, such as {name = value}"),
        ("sizes.n = 0", "sizes.n = 0: input should be greater than or equal to 1"),
        ("sizes.m = 5", r"cells\[0\]: no input of 'rnn' can read the \d+ characters of data 'text'"),
        ("initialisation.gian = 1", "initialisation.gian = 1: no key is called 'gian'. Did you mean 'gain'"),
        ("initialisation.gain = [1, nan]", r"initialisation.gain\[1\] = nan: input should be a finite number"),
        ("initialisation = 3", "initialisation = 3: write a table, such as {name = value}"),
    ],
)
def test_a_mistake_is_named_with_its_path_and_value(load, tmp_path, line, message):
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "short.txt").write_text("abc")
    assert_one(mistakes(load, f"{line}\n{GOOD}"), message)


@pytest.mark.parametrize(
    "text, message",
    [
        ('lengths = 9\nmeasures = "flow"', "cells is missing"),
        ('cells = "rnn"', "measures is missing"),
        (
            'cells = "henon"\nlengths = 9\nmeasures = "flow"',
            r"no input of 'henon' can read the \d+ characters of data 'text'. It has none: use data = 'noise'",
        ),
        ('cells = "rnn"\nmeasures = []', "measures is empty: give at least one. Known: .*flow"),
        (
            'cells = "rnn"\nlengths = [30, 5]\n[measures.noise]\nlags = 6',
            r"measures.noise: lags = 6 reach over 6 steps, and lengths = \[30, 5\]",
        ),
        (
            'cells = "rnn"\nlengths = 30\n[measures.spectrum]\nlags = [1, 31]',
            r"measures.spectrum: lags = \[1, 31\] reach over 31 steps, and lengths = \[30\]",
        ),
        (
            'cells = "rnn"\nlengths = 30\n[measures.lyapunov]\ntransient = 29',
            r"measures.lyapunov: transient = 29.* reach over 31 steps, and lengths = \[30\]",
        ),
        ('cells = "rnn"\n[measures.lyapunov]\ntransient = -1', "measures.lyapunov.transient = -1: .* or equal to 0"),
        ('cells = "rnn"\n[measures.lyapunov]\nlevel = 95.0', "measures.lyapunov.level = 95.0: .* less than 1"),
        ('cells = "rnn"\n[measures.precision]\ntolerance = 0.0', "measures.precision.tolerance = 0.0: .* than 0"),
        ('cells = "rnn"\n[measures.truncation]\nwindows = 3', "measures.truncation.windows.* = 3: "),
        ('cells = "rnn"\nmeasures = "flwo"', "no key is called 'flwo'. Did you mean 'flow'"),
        ('cells = "rnn"\n[measures.flwo]', "measures.flwo = {}: no key is called 'flwo'. Did you mean 'flow'"),
        ('cells = "rnn"\n[measures.flow]\nlagz = 3', "measures.flow.lagz = 3: no key is called 'lagz'"),
        ('cells = "lsmt"\nmeasures = "flow"', "cells = 'lsmt': no cell is called 'lsmt'. Did you mean 'lstm'"),
        ('cells = "bad"\nmeasures = "flow"', "cells = 'bad': no cell is called 'bad'. There is a file 'bad.cell'"),
        ('cells = 3\nmeasures = "flow"', "cells = 3: should be the name of a cell"),
        ('cells = "no.cell"\nmeasures = "flow"', "cells = 'no.cell': .*no.cell: can't be read: no such file"),
        ('cells = "bad.cell"\nmeasures = "flow"', "bad.cell, line 2, column 5: unknown function 'tnh'"),
        ('cells = ["rnn", "rnn"]\nmeasures = "flow"', "cells holds 'rnn' twice"),
        ('cells = "henon"\nmeasures = "flow"', "no input of 'henon' can read"),
        ("cells = [", "not TOML: "),
    ],
)
def test_a_mistake_in_cells_or_measures(load, tmp_path, text, message):
    (tmp_path / "bad.cell").write_text("h: state[n]\nh = tnh(W @ h)")
    assert_one(mistakes(load, text), message)


def assert_one(found, message):
    assert "study.toml: " in found
    assert re.search(message, found), found
    assert "mistakes" not in found or "data 'shuffled'" in found  # both kinds of data that are read by default


def test_all_mistakes_are_listed_at_once(load):
    found = mistakes(load, 'cells = ["lsmt", "rnn"]\nhidden = 0\nsedes = 3\n[measures.flow]\nx = 1\n')
    assert found.splitlines()[0].endswith("study.toml: 4 mistakes")
    assert [line.split(" = ")[0].strip() for line in found.splitlines()[1:]] == [
        "cells[0]", "hidden", "measures.flow.x", "sedes",
    ]  # fmt: skip


def test_sizes_that_an_equation_does_not_allow(load, tmp_path):
    (tmp_path / "part.cell").write_text("x: input[m]\nh: state[n]\nh = tanh(W @ x + sum(h[0:4]) * h)")
    found = mistakes(load, 'cells = "part.cell"\nhidden = 3\nlengths = 9\nmeasures = "flow"')
    assert "cells[0]: 'part' at {'m': " in found and "0:4" in found


def test_sizes_that_no_memory_holds(load):
    found = mistakes(load, 'cells = "lstm"\nhidden = 10_000_000\nlengths = 9\ndata = "noise"\nmeasures = "flow"')
    assert "'lstm' at {'m': " in found and "its parameters need" in found and "give smaller sizes" in found


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(bptt.Error, match=r"missing.toml: can't be read: no such file"):
        bptt.Study.load(tmp_path / "missing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(bptt.Error, match=r"binary.toml: not text in UTF-8"):
        bptt.Study.load(tmp_path / "binary.toml")


def test_paths_are_relative_to_the_file(load, tmp_path, monkeypatch):
    (tmp_path / "mine.cell").write_text("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h)")
    monkeypatch.chdir(Path(__file__).parent)
    assert load('cells = "mine.cell"\nmeasures = "flow"').plan.groups[0].cell.name == "mine"
