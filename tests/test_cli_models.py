"""`bptt models` and `bptt compose`."""

import pytest
from click.testing import CliRunner

import bptt
from bptt.cli import main


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_models_are_listed_with_their_titles():
    result = run("models")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines] == bptt.models()
    assert all(line.endswith(bptt.load_model(line.split()[0]).title) for line in lines)


def test_compose_prints_a_text_that_is_a_model():
    result = run("compose", "gru", "--layers", "2", "--shape", "many-to-one", "--bidirectional", "--embedding")
    assert result.exit_code == 0
    composed = bptt.compose("gru", layers=2, shape="many-to-one", bidirectional=True, embedding=True)
    assert result.output == composed.text
    assert bptt.parse_model(result.output, composed.name) == composed


def test_compose_writes_a_file_that_can_be_read(tmp_path):
    path = tmp_path / "my.model"
    arguments = ("--shape", "sequence-to-sequence", "--attention", "--loss", "squared_error")
    result = run("compose", "lstm", *arguments, "-o", path)
    assert (result.exit_code, result.output) == (0, f"Wrote {path}\n")
    assert bptt.load_model(path).axes == ("S", "T")


def test_compose_takes_a_file(tmp_path):
    path = tmp_path / "my-cell.cell"
    path.write_text("x: input[m]\nh: state[n]\nh = tanh(W @ x + h)\n")
    result = run("compose", path)
    assert result.exit_code == 0
    assert "h = my_cell(x[t])" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lsmt",), "no cell is called 'lsmt'. Did you mean 'lstm'"),
        (("lstm", "--shape", "round"), "unknown shape 'round'. Known: one-to-one"),
        (("lstm", "--loss", "big"), "unknown loss 'big'. Known: cross_entropy"),
        (("lstm", "--layers", "0"), "layers must be a whole number from 1 to 50, not 0"),
        (("lstm", "--layers", "1000000"), "layers must be a whole number from 1 to 50"),
        (("lstm", "--attention"), "attention is that of a decoder"),
        (("lstm", "--shape", "one-to-many", "--bidirectional"), "can't be bidirectional"),
        (("henon",), "henon has no input that is a vector"),
        (("lstm", "-o", "my.pdf"), "my.pdf: a model's text is written to a .model file"),
        (("lstm", "-o", "no/such/folder/my.model"), "my.model"),
    ],
)
def test_wrong_use_is_met_with_one_message(arguments, message):
    result = run("compose", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
