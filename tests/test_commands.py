"""What all commands share: an overview in groups, JSON for machines, completion, colours, and the nearest name."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

import bptt
from bptt.cli import SECTIONS, main
from bptt.commands.console import give_json
from bptt.kernels import bench
from bptt.kernels.comparison import Row

NAMES = [name for section in SECTIONS.values() for name in section]
SHELL = BashComplete(main, {}, "bptt", "_BPTT_COMPLETE")
CELL = "x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h + b)\n"


def invoke(*args: object, status: int = 0, **options):
    result = CliRunner().invoke(main, [str(arg) for arg in args], **options)
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.cell"
    path.write_text(CELL)
    return path


def test_without_arguments_there_is_an_overview():
    shown = invoke().stdout
    assert shown == invoke("--help").stdout
    assert all(f"{heading}:\n" in shown for heading in SECTIONS)
    lines = {line.split()[0]: line for line in shown.splitlines() if line.startswith("  ") and line.split()}
    assert all(not lines[name].endswith("...") for name in NAMES)


def test_no_help_loads_anything_heavy():
    source = (
        "import sys; from click.testing import CliRunner; from bptt.cli import main\n"
        f"for name in {NAMES}: assert CliRunner().invoke(main, [name, '-h']).exit_code == 0\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert not {"sympy", "numpy", "numba", "xarray", "matplotlib", "typst", "rich"} & set(done.stdout.split())


def test_options_of_one_name_mean_one_thing():
    """An option's short and long names go together in every command, and a flag is nowhere a value."""
    found = (getattr(import_module(f"bptt.commands.{main.modules[name]}"), name) for name in NAMES)
    options = [option for command in found for option in command.params if isinstance(option, click.Option)]
    for letter in {opt for option in options for opt in option.opts if len(opt) == 2}:
        assert len({option.opts[1] for option in options if letter in option.opts}) == 1
    for long in {opt for option in options for opt in option.opts if len(opt) > 2}:
        assert len({option.is_flag for option in options if long in option.opts}) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("deriv", "Did you mean 'derive'?"),
        ("models.cell", "To derive it: bptt derive models.cell"),
        ("rnn", "To derive it: bptt derive rnn"),
        ("xyzzy", "No such command 'xyzzy'."),
    ],
)
def test_an_unknown_command(given, said):
    assert said in invoke(given, status=2).stderr


@pytest.mark.parametrize(("command", "names"), [("cells", bptt.zoo), ("models", bptt.models)])
def test_lists_as_json(command, names):
    found = json.loads(invoke(command, "--json").stdout)
    assert [one["name"] for one in found] == names()
    assert all(set(one) == {"name", "title", "inputs", "params"} for one in found)


def test_a_derivation_as_json(mine, tmp_path):
    result = invoke("derive", mine, "--json", "-o", tmp_path / "mine.md", "--layout", "row")
    found = json.loads(result.stdout)
    assert found["name"] == "mine"
    [block] = found["blocks"]
    assert {"name": "delta_h", "shape": ["n"], "text": "delta_h = incoming_h"} in block["backward"]
    assert found["proof"]["holds"] and found["proof"]["sizes"] == {"n": 2, "m": 3}
    assert "Wrote" in result.stderr and "The same: " in result.stderr
    assert len(json.loads(invoke("derive", "many_to_one", "--json").stdout)["blocks"]) > 1


def test_flow_as_json(mine):
    study = ("--quick", "--hidden", 4, "--steps", 6, "--batch", 2, "--seeds", 2)
    found = json.loads(invoke("flow", mine, *study, "--json").stdout)
    assert {one["cell"] for one in found} == {"mine"} and len(found) == 2
    known = {"cell", "data", "half_life", "half_life_low", "half_life_high"}
    assert all(set(one) == known | {"runs", "overflowed", "overflow_first", "overflow_last"} for one in found)


def test_flow_names_what_overflows_and_measures_the_rest(mine, tmp_path):
    wild = tmp_path / "wild.cell"
    wild.write_text("x: input[m]\nh: state[n]\nh = h * h + 2 + 1e-300 * (U @ x)\n", encoding="utf-8")
    study = ("flow", wild, mine, "--quick", "--hidden", 3, "--steps", 14, "--batch", 2, "--seeds", 2)
    said = invoke(*study, "-o", tmp_path / "flow.md").stdout.splitlines()
    assert (
        said[1]
        == f"wild  {'   '.join(f'{kind}: overflowed at step 11 in 4 of 4 runs' for kind in ('text', 'shuffled'))}"
    )
    assert said[2].startswith("mine  text: ") and "overflow" not in said[2]
    assert "| wild | text | step 11 | 4/4 |" in (tmp_path / "flow.md").read_text(encoding="utf-8")
    text = invoke(*study, "--json").stdout
    found = json.loads(text)
    assert found[0]["half_life"] is None and found[0]["overflow_first"] == 11 and found[0]["overflowed"] == 4
    assert isinstance(found[2]["half_life"], float) and "NaN" not in text


def test_flow_says_what_it_does_not_know(tmp_path):
    """Half-lives longer than the lags, of a cell whose input is as wide as its state: the text sets its size."""
    wide = tmp_path / "wide.cell"
    wide.write_text("x: input[n]\nh: state[n]\nh = h + 0 * x\n", encoding="utf-8")
    (tmp_path / "few.txt").write_text("abcab" * 9, encoding="utf-8")
    study = ("--quick", "--steps", 6, "--batch", 2, "--seeds", 2, "--text", tmp_path / "few.txt")
    said = invoke("flow", wide, *study).stdout.splitlines()
    assert said[1:] == [
        "wide  text: longer than 6   shuffled: longer than 6",
        "'wide' has n = 3, as many as there are characters: its state h is as wide as its input x",
    ]


def test_the_bench_as_json(monkeypatch):
    row = Row("mine", "float32", 1, 256, 16, 50, "other", 0.01, 2.0, 1.5, 2.5, 1e10, 0.5, 0.4)
    monkeypatch.setattr(bench, "bench", lambda *args: [args[-1]("a line for people")] * 0 + [row])
    result = invoke("bench", "rnn", "--dtype", "float32", "--json")
    [found] = json.loads(result.stdout)["rows"]
    assert found["ratio"] == 2.0 and "a line for people" in result.stderr


def test_the_gallery_as_json(tmp_path):
    listed = json.loads(invoke("gallery", "--list", "--json").stdout)
    assert {"name", "title", "question"} == set(listed[0]) and len(listed) > 9
    result = invoke("gallery", "hello", "--quick", "--json", "-o", tmp_path)
    [found] = json.loads(result.stdout)
    assert found["learned"] and json.loads(Path(found["numbers"]).read_text())["attrs"]["system"] == "hello"
    assert "Wrote" in result.stderr


def test_json_has_no_numbers_that_it_lacks(capsys):
    give_json({"far": float("inf"), "none": float("nan"), "all": (1, 2.5, "x", None)})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "far": "inf",
        "none": None,
        "all": [1, 2.5, "x", None],
    }


def test_colours_respect_no_color(monkeypatch):
    assert "\x1b[32m✓" in invoke("doctor", color=True, env={"NO_COLOR": ""}).stdout
    assert "\x1b[" not in invoke("doctor", color=True, env={"NO_COLOR": "1"}).stdout


def completed(*words: str) -> list[str]:
    return [item.value for item in SHELL.get_completions(list(words[:-1]), words[-1])]


def test_a_shell_completes_commands_options_cells_and_files():
    assert completed("de") == ["derive"]
    assert set(completed("derive", "--la")) == {"--layout", "--language"}
    assert set(completed("derive", "m")) == {name for name in (*bptt.zoo(), *bptt.models()) if name[0] == "m"}
    assert completed("check", "x.py", "--cell", "rnn_") == [name for name in bptt.zoo() if name.startswith("rnn_")]
    assert completed("gallery", "hello", "char") == ["characters"]
    assert [item.type for item in SHELL.get_completions(["derive"], "./mine")] == ["file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell):
    assert "_BPTT_COMPLETE" in invoke("completion", shell).stdout


def test_bash_accepts_the_script(tmp_path):
    script = tmp_path / "bptt.bash"
    script.write_text(invoke("completion", "bash").stdout)
    done = subprocess.run(
        ["bash", "-c", f". {script} && complete -p bptt"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "_bptt_completion" in done.stdout, done.stderr
