"""The README's code runs, and its cell and commands work."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import bptt
from bptt.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def test_python_blocks_run(capsys):
    blocks = [text for language, text in BLOCKS if language == "python"]
    assert len(blocks) == 3
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(block, namespace)
    printed = capsys.readouterr().out
    assert "Sum(outer(delta_a_h(t), h(t - 1)), (t, 1, T))" in printed
    assert "Proved" in printed
    assert "a_h = x @ W + h_prev @ W_hh + b" in printed and "The same: " in printed
    assert "(7, 7) (20, 3, 5)" in printed


def test_the_cell_of_the_readme_is_five_lines_and_proved(tmp_path):
    [text] = [text for _, text in BLOCKS if text.startswith("x: input")]
    assert len(text.splitlines()) == 5
    path = tmp_path / "mine.cell"
    path.write_text(text)
    assert bptt.derive(bptt.load(path)).prove().holds


def test_the_model_of_the_readme_is_proved():
    [text] = [text for _, text in BLOCKS if "for t in range(T):" in text]
    model = bptt.parse_model(text)
    assert bptt.parse_model(str(model)).params == model.params
    assert bptt.derive(model).prove().holds


def test_it_opens_with_the_two_commands():
    assert BLOCKS[0][1].startswith("make report")
    assert BLOCKS[0][1].splitlines()[1].startswith("make test")


@pytest.mark.parametrize("line", [line for _, text in BLOCKS for line in text.splitlines() if "bin/bptt" in line])
def test_its_commands_are_known(line):
    command = line.split()[1]
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0, result.output


def test_its_functions_are_those_of_the_table():
    from bptt.derive.functions import FUNCTIONS

    [line] = [line for line in README.splitlines() if line.startswith("- Functions:")]
    assert set(re.findall(r"\w+", line.removeprefix("- Functions:"))) <= FUNCTIONS.keys()
