"""`bptt train`, `bptt generate` and `bptt inspect` as a newcomer meets them."""

import base64
import html
import json
import re
import tomllib

import numpy as np
import pytest
from click.testing import CliRunner

import bptt
from bptt.analysis.learning import checkpoint, course, file, language
from bptt.cli import main
from bptt.derive.errors import Error

TEXT = "the cat sat on the mat. a cat and a rat! " * 20
FILE = """
model = "character_language_model"
task = "characters"
[sizes]
n = 10
m = 5
[data]
text = "cat.txt"
window = 8
batch = 4
[training]
steps = 30
rate = 0.02
judge_every = 10
dtype = "float64"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.txt").write_text(TEXT)
    (tmp_path / "cat.toml").write_text(FILE)
    return tmp_path


def call(*arguments, status=0):
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == status, found.output
    return found.output


def test_train_and_generate(folder):
    assert "30 steps. Wrote cat/last.safetensors" in call("train", "cat.toml")
    lines = [json.loads(line) for line in (folder / "cat" / course.HISTORY).read_text().splitlines()]
    judged = [line["loss"] for line in lines if "norm" not in line]
    assert len(lines) == 33 and judged[-1] < judged[0]
    written = call("generate", "cat/best.safetensors", "--prime", "the", "--length", "40")
    assert written.startswith("the") and len(written) == 44
    assert written == call("generate", "cat/best.safetensors", "--prime", "the", "--length", "40")
    refused = CliRunner().invoke(main, ("generate", "cat/best.safetensors", "--prime", "tQ"))
    assert refused.exit_code == 2 and not refused.stdout and "'Q' wasn't in the text" in refused.stderr


def test_train_gives_its_losses_as_json(folder, monkeypatch):
    losses = iter((2.0, 0.5, 1.0))
    monkeypatch.setattr(course, "held_out_loss", lambda training: next(losses))
    told = CliRunner().invoke(main, ("train", "cat.toml", "--json"))
    assert json.loads(told.stdout) == {
        "last": {"step": 30, "held_out_loss": 1.0, "checkpoint": "cat/last.safetensors"},
        "best": {"step": 20, "held_out_loss": 0.5, "checkpoint": "cat/best.safetensors"},
        "history": "cat/history.jsonl",
    }
    assert "30 steps. Wrote cat/last.safetensors" in told.stderr
    again = CliRunner().invoke(main, ("train", "cat.toml", "--resume", "--json"))
    assert again.stdout == told.stdout and "Nothing is left to do" in again.stderr
    (folder / "cat" / course.HISTORY).unlink()
    assert json.loads(CliRunner().invoke(main, ("train", "cat.toml", "--resume", "--json")).stdout) == {
        "history": "cat/history.jsonl"
    }
    fresh = CliRunner().invoke(main, ("train", "--new", "new.toml", "--json"))
    assert not fresh.stdout and "Wrote new.toml" in fresh.stderr


@pytest.mark.parametrize("task", ["characters", "words"])
def test_generate_gives_its_tokens_as_json(folder, task):
    (folder / "cat.toml").write_text(FILE.replace("characters", task).replace("batch = 4", "batch = 2"))
    call("train", "cat.toml")
    written = ("generate", "cat/best.safetensors", "--prime", "the", "--length", "20")
    found = json.loads(call(*written, "--json"))
    assert found["prime"] == "the" and len(found["tokens"]) == 20 and set(found) == {"prime", "tokens", "text"}
    assert found["text"] + "\n" == call(*written)


def test_a_checkpoint_that_is_a_folder_or_misspelt_is_named(folder):
    call("train", "cat.toml")
    for command in ("generate", "inspect"):
        assert "cat: a folder. Give the checkpoint in it: cat/best.safetensors" in call(command, "cat", status=2)
        assert "Did you mean 'cat/best.safetensors'?" in call(command, "cat/bets.safetensors", status=2)
        assert "`bptt train` writes best.safetensors" in call(command, ".", status=2)
        assert "`bptt train` writes best.safetensors" in call(command, "cat.toml", status=2)
    assert "a checkpoint of `bptt train`, not weights" in call("flow", "cat/best.safetensors", status=2)


def test_a_training_that_was_killed_goes_on_bit_for_bit(folder):
    call("train", "cat.toml", "-o", "whole")
    order = file.load(folder / "cat.toml")

    class Killed(Exception):
        pass

    def kill(what):
        if getattr(what, "number", 0) == 17:
            raise Killed

    with pytest.raises(Killed):
        course.run(order, folder / "cat", progress=kill)
    assert checkpoint.read(folder / "cat" / course.LAST).done == 10
    call("train", "cat.toml", "--resume")
    nothing = "Nothing is left to do: 30 steps are done, and cat.toml asks for 30.\n"
    assert call("train", "cat.toml", "--resume") == nothing
    for name in (course.LAST, course.BEST):
        assert (folder / "whole" / name).read_bytes() == (folder / "cat" / name).read_bytes()
    history = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in read.splitlines()]
        for read in ((folder / run / course.HISTORY).read_text() for run in ("whole", "cat"))
    ]
    assert history[0] == history[1]


def test_an_old_training_is_not_overwritten(folder):
    call("train", "cat.toml")
    before = (folder / "cat" / course.LAST).read_bytes()
    refused = "bptt: cat already holds a training: go on with --resume, or give another folder with -o\n"
    assert call("train", "cat.toml", status=2) == refused
    (folder / "cat.toml").write_text(FILE.replace("n = 10", "n = 11"))
    said = call("train", "cat.toml", "--resume", status=2)
    assert "of another size" in said and "gradient" not in said  # no bar of a training that didn't start
    assert (folder / "cat" / course.LAST).read_bytes() == before


def test_a_size_that_is_missing_is_asked_for_where_it_belongs(folder):
    (folder / "cat.toml").write_text(FILE.replace("m = 5", ""))
    assert "cat.toml, below [sizes]: no size is given for m" in call("train", "cat.toml", status=2)


def test_resume_without_a_checkpoint_says_so(folder):
    said = call("train", "cat.toml", "--resume", status=2)
    assert "cat/last.safetensors: there is no such checkpoint to go on from. To begin, leave out --resume." in said


def test_a_loss_that_explodes_names_the_step_and_the_last_good_checkpoint(folder):
    (folder / "cat.toml").write_text(FILE.replace("rate = 0.02", 'rate = 1e308\noptimiser = "momentum"'))
    with pytest.warns(RuntimeWarning):
        said = call("train", "cat.toml", status=2)
    assert "cat.toml: step " in said and "cat/last.safetensors stands at step 0, the last that was good." in said
    assert checkpoint.read(folder / "cat" / course.LAST).done == 0


def test_a_held_out_loss_that_explodes_leaves_the_checkpoint_before_it(folder, monkeypatch):
    losses = iter((1.0, float("nan")))
    monkeypatch.setattr(course, "held_out_loss", lambda training: next(losses))
    said = call("train", "cat.toml", status=2)
    assert "step 20: the held-out loss is nan" in said
    assert "cat/last.safetensors stands at step 10, the last that was good." in said
    assert checkpoint.read(folder / "cat" / course.LAST).done == 10


def test_every_mistake_of_a_file_is_listed(folder):
    wrong = FILE.replace("character_language_model", "lstn").replace("rate", "rat").replace("n = 10", "n = 0")
    (folder / "cat.toml").write_text(wrong)
    said = call("train", "cat.toml", status=2)
    assert "cat.toml: 3 mistakes" in said
    assert "model = 'lstn': no model is called 'lstn'" in said
    assert "sizes.n = 0: input should be greater than or equal to 1" in said
    assert "training.rat = 0.02: no key is called 'rat'. Did you mean 'rate'?" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"characters"', '"chars"', "no task is called so. Did you mean 'characters'"),
        ("window = 8", "windw = 8", "data.windw = 8: no key is called 'windw'. Did you mean 'window'"),
        ('"cat.txt"', '"dog.txt"', "can't be read"),
        ("window = 8", "window = 800", "Too few for 4 streams of 800 steps"),
        ("n = 10\n", "", "no size is given for n"),
        ("n = 10", "n = 10\nq = 3", "no dimension 'q'"),
        ('model = "character_language_model"', "", "model is missing"),
        ("[sizes]", "[sizes", "not TOML"),
        ("steps = 30", "steps = 30.5", "training.steps = 30.5"),
        ("steps = 30", 'optimiser = "adan"', "no optimiser is called 'adan'. Did you mean 'adam'"),
        ("steps = 30", "start = { b_q = 1.0 }", "no parameter is called 'b_q'"),
        ("character_language_model", "hello", "a language model reads one index"),
        ("m = 5", "m = 2000000000", "the parameters and what training keeps of each need"),
    ],
)
def test_bad_input(folder, old, new, said):
    assert old in FILE
    (folder / "cat.toml").write_text(FILE.replace(old, new))
    assert said in call("train", "cat.toml", status=2)
    assert not (folder / "cat").exists()


def test_texts_that_are_none(folder):
    (folder / "cat.txt").write_bytes(b"\xff\xfe\xfa")
    assert "not text in UTF-8" in call("train", "cat.toml", status=2)
    (folder / "cat.txt").write_text("")
    assert "the text is empty" in call("train", "cat.toml", status=2)
    (folder / "cat.txt").write_text("a")
    assert "tokens in all: 1, held out: 0. Too few" in call("train", "cat.toml", status=2)


def test_the_template_can_be_trained(folder):
    assert "Train with: bptt train new.toml" in call("train", "--new", "new.toml")
    assert tomllib.loads((folder / "new.toml").read_text())["task"] == "characters"
    assert file.load(folder / "new.toml").task.sizes["V"] > 50
    assert "is there already" in call("train", "--new", "new.toml", status=2)
    assert "what it will hold is TOML; try new.toml" in call("train", "--new", "new.cell", status=2)
    with pytest.raises(Error, match="can't be written"):
        file.write_template(folder / "none" / "x.toml")


def test_words_are_written_with_spaces(folder):
    (folder / "cat.toml").write_text(
        FILE.replace('"characters"', '"words"').replace("batch = 4", "batch = 2\nat_least = 3")
    )
    call("train", "cat.toml")
    written = call("generate", "cat/last.safetensors", "--prime", "the", "--length", "8")
    assert written.startswith("the ") and len(written.split()) > 4


LINED = '"the cat" sat (on the mat).\n  a cat [and a "rat"]\n' * 30


@pytest.fixture
def lined(folder):
    """A model that was trained on lines with quotes and brackets."""
    (folder / "cat.txt").write_text(LINED)
    call("train", "cat.toml")
    return folder


def test_inspect_shows_units_over_a_text(lined):
    said = call("inspect", "cat/best.safetensors", "cat.txt", "-o", "page.html")
    assert "position in line" in said and "inside quotes" in said and "F1" in said and "Wrote page.html" in said
    page = (lined / "page.html").read_text()
    [data] = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    found = json.loads(data)
    rows = [np.frombuffer(base64.b64decode(row), np.int8) for row in found["rows"]]
    letters = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert letters and html.unescape(re.sub("<.*?>", "", letters[1])) == LINED
    assert len(found["names"]) == len(rows) == 20 and {len(row) for row in rows} == {len(LINED)}
    assert max(abs(row).max() for row in rows) <= found["levels"] == (len(found["colours"]) - 1) / 2
    # the states of the kernel, run again over the text: each level is the value over its largest size
    checked = checkpoint.read(lined / "cat/best.safetensors")
    indices = language.numbered(LINED, checked.task["about"]["vocabulary"], "")
    run = checked.kernel().forward(checked.judged, {"w": indices[:, None], "y": indices[:, None]})
    [(unit, place)] = re.findall(r"^(\w)\[(\d+)\]", found["names"][0])
    values = run.value(unit)[:, 0, int(place)]
    np.testing.assert_array_equal(rows[0], np.round(values / np.abs(values).max() * found["levels"]))


@pytest.mark.parametrize("suffix", [".pdf", ".tex", ".md", ".typ"])
def test_inspect_writes_pages_that_do_not_move(lined, suffix):
    call("inspect", "cat/best.safetensors", "cat.txt", "--unit", "c[3]", "-o", f"page{suffix}")
    written = (lined / f"page{suffix}").read_bytes()
    named = rb"c\[3\]" if suffix == ".typ" else b"c[3]"
    assert written[:4] == b"%PDF" if suffix == ".pdf" else named in written


def test_inspect_gives_scores_as_json(lined):
    found = json.loads(call("inspect", "cat/best.safetensors", "cat.txt", "--json"))
    assert {"feature", "unit", "r2", "chance", "f1", "probe", "probe_chance"} == set(found[0])
    assert "position in line" in {one["feature"] for one in found}


def test_inspect_refuses(lined):
    def said(*arguments):
        return call("inspect", *arguments, status=2)

    (lined / "short.txt").write_text("a cat")
    assert "short.txt: scores need at least 100 tokens, and it has 5" in said("cat/best.safetensors", "short.txt")
    (lined / "empty.txt").write_text("")
    assert "the text is empty" in said("cat/best.safetensors", "empty.txt")
    (lined / "other.txt").write_text("the cat! " * 50)
    assert "other.txt: '!' wasn't in the text" in said("cat/best.safetensors", "other.txt")
    without = "cat/best.safetensors: learned from cat.txt. Give a text for it to read: that one, or another."
    assert without in said("cat/best.safetensors")
    assert "the model has no unit 'c[99]'" in said("cat/best.safetensors", "cat.txt", "--unit", "c[99]")
    assert "unknown kind of document '.png'" in said("cat/best.safetensors", "cat.txt", "-o", "x.png")
    assert "there is no such checkpoint" in said("none.safetensors", "cat.txt")
    (lined / "cut.safetensors").write_bytes((lined / "cat/best.safetensors").read_bytes()[:-99])
    for command in ("inspect", "generate"):
        assert "not a whole checkpoint" in call(command, "cut.safetensors", status=2)


def test_a_model_around_a_cell_of_ones_own(folder):
    """Its checkpoint holds the cell: it is used where the cell isn't, and not gone on with another."""
    (folder / "cells").mkdir()
    cell = folder / "cells" / "mine.cell"
    cell.write_text(
        "x: input[m]\nh: state[n]\ns: param\nf = sigmoid(s * (W @ x) + b)\nh = f * h + (1 - f) * tanh(U @ x + V @ h)\n"
    )
    call("compose", str(cell), "--embedding", "-o", "cells/mine.model")
    (folder / "cat.txt").write_bytes("고양이가 앉았다.\r\n쥐도!\r\n".encode() * 60)
    (folder / "cat.toml").write_text(FILE.replace("character_language_model", "cells/mine.model"))
    call("train", "cat.toml")
    assert "Nothing is left" in call("train", "cat.toml", "--resume")  # the number s too is as it was
    (folder / "cat").rename(folder / "elsewhere")
    written = call(
        "generate", "elsewhere/best.safetensors", "--prime", "고양", "--length", "30", "--temperature", "0.5"
    )
    assert written.startswith("고양") and set(written) <= set("고양이가 앉았다.\n쥐도!")
    assert "position in line" in call("inspect", "elsewhere/best.safetensors", "cat.txt")
    cell.write_text(cell.read_text().replace("tanh", "sigmoid"))
    assert "of another model than mine" in call("train", "cat.toml", "-o", "elsewhere", "--resume", status=2)


def test_a_training_is_not_gone_on_with_another_model(lined):
    (lined / "cat.toml").write_text(FILE.replace("character_language_model", "mine.model"))
    text = bptt.load_model("character_language_model").text.replace("lstm", "gru").replace("h, c", "h")
    (lined / "mine.model").write_text(text)
    before = (lined / "cat/last.safetensors").read_bytes()
    assert "of another model than mine" in call("train", "cat.toml", "--resume", status=2)
    assert (lined / "cat/last.safetensors").read_bytes() == before
