"""Each command as a newcomer runs it, and each mistake as one clear message with exit status 2."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bptt.cli import main

GOOD = "x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h + b)\n"


def invoke(*args: object):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def refused(*args: object) -> str:
    """Run a command that must fail with one message and status 2, and return the message."""
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def cell_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.cell"
    path.write_text(GOOD)
    return path


def test_cells_says_a_line_on_each():
    lines = invoke("cells").output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    assert all(len(line.split()) > 3 for line in lines)


def test_derive_prints_steps_and_proof(cell_file):
    output = invoke("derive", cell_file).output
    assert "delta_a_h = delta_h * (1 - h**2)" in output
    assert "Proved: 23 entries" in output


def test_derive_leaves_out_steps_that_lead_nowhere(tmp_path):
    cell = tmp_path / "mean.cell"
    cell.write_text("h: state[n]\nh = tanh((U - U.T) @ h - sum(h) / sum(ones(n)))\n")
    lines = invoke("derive", cell).output.splitlines()
    assert lines.count("delta_U = delta_u_h - delta_u_h.T") == 1
    assert not [line for line in lines if line.endswith(" = 0")]
    assert "u3_h = sum(ones(n))" in lines and not [line for line in lines if line.startswith("delta_u3_h")]


def test_derive_says_what_nothing_reads(tmp_path):
    cell = tmp_path / "output.cell"
    cell.write_text("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h)\ny = V * h\n")
    result = invoke("derive", cell, "--json")
    assert "Nothing reads 'y'" in result.stderr and "declare it: 'y: state[n]'" in result.stderr
    cell.write_text("x: input[m]\nh: state[n]\ny: state[n]\nh = tanh(W @ x + U @ h)\ny = V * h\n")
    assert "Nothing reads" not in invoke("derive", cell).stderr


def test_kernel_prints_its_schedule(cell_file):
    printed = invoke("kernel", cell_file, "--schedule").output
    assert "Forward, at each step" in printed and "Roofline" not in printed
    sizes = ["--size", "n=8", "--size", "m=4", "--steps", 10, "--batch", 2]
    printed = invoke("kernel", cell_file, "--schedule", *sizes).output
    assert "Memory for T = 10, B = 2" in printed and "Roofline for T = 10, B = 2, m = 4, n = 8, float64" in printed
    assert "a size is given as --size n=128, here 'n=x'" in refused("kernel", cell_file, "--schedule", "--size", "n=x")
    assert "no size is given for dimension m" in refused("kernel", cell_file, "--schedule", "--size", "n=3")
    assert "--size is for --schedule" in refused("kernel", cell_file, "--size", "n=3")
    assert "the module is written to a .py file; try -o mine.py" in refused("kernel", cell_file, "-o", "mine.txt")


@pytest.mark.parametrize("suffix", [".pdf", ".tex", ".typ", ".html", ".md"])
def test_derive_writes_documents(cell_file, tmp_path, suffix):
    target = tmp_path / f"page{suffix}"
    result = invoke("derive", cell_file, "-o", target)
    assert result.exit_code == 0, result.output
    assert target.stat().st_size > 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["mine.cell", target.name])


def test_kernel_prints_a_module_that_python_accepts(cell_file, tmp_path):
    printed = invoke("kernel", cell_file).output
    compile(printed, "mine.py", "exec")
    assert invoke("kernel", cell_file, "-o", tmp_path / "mine.py").exit_code == 0
    assert (tmp_path / "mine.py").read_text() == printed


def test_flow_prints_half_lives_and_writes_a_page(cell_file, tmp_path):
    study = ("--quick", "--hidden", 5, "--steps", 8, "--batch", 2, "--seeds", 2)
    result = invoke("flow", cell_file, "rnn", *study, "-o", tmp_path / "flow.html")
    assert result.exit_code == 0, result.output
    assert "mine" in result.output
    assert "shuffled" in result.output
    assert (tmp_path / "flow.html").stat().st_size > 1000


def test_report_on_a_strangers_cell_and_text(cell_file, tmp_path):
    text = tmp_path / "poem.txt"
    text.write_text("the rain in spain stays mainly in the plain\n" * 9, encoding="utf-8")
    study = ("--quick", "--hidden", 4, "--steps", 6, "--batch", 2, "--seeds", 2, "--text", text)
    (tmp_path / "wild.cell").write_text("x: input[m]\nh: state[n]\nh = exp(exp(h) + W @ x)\n")  # overflows
    result = invoke("report", cell_file, tmp_path / "wild.cell", "-o", tmp_path / "out", *study)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["flow.csv", "mine.pdf", "report.html", "report.pdf", "wild.pdf"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"wild, lag \d+ \(steps back.*: overflowed at step|overflowed at steps? .* in 4 of 4 runs", page)
    assert "more couldn’t be made, as runs of wild overflow" in page.replace("'", "’")
    figures = re.findall(r'<script type="application/json">(.*?)</script>', page)
    assert figures and not any("NaN" in figure for figure in figures)
    assert (tmp_path / "out" / "flow.csv").read_text().startswith("cell,data,lag,mean,low,high,runs,overflowed,")


MISTAKES = {
    "syntax": ("h: state[n]\nh = tanh(W @ h", r"line 2, column 9"),
    "function": ("h: state[n]\nh = tnh(W @ h)", "Did you mean 'tanh'"),
    "shape": ("x: input[m]\nh: state[n]\nh = tanh(W @ h + x)", "shapes conflict"),
    "ambiguous": ("h: state[n]\nh = tanh(W @ tanh(V @ h))", "Annotate it"),
    "unassigned": ("h: state[n]\nc: state[n]\nh = tanh(W @ h)", "never assigned"),
}


@pytest.mark.parametrize("text, message", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("command", ["derive", "kernel", "flow", "report"])
def test_mistakes_in_a_cell(tmp_path, monkeypatch, command, text, message):
    monkeypatch.chdir(tmp_path)
    Path("bad.cell").write_text(text)
    output = refused(command, "bad.cell")
    assert message in output
    assert "bad.cell" in output
    assert not list(Path("out").iterdir()) if Path("out").exists() else True


def test_files_that_are_no_cells(tmp_path):
    binary = tmp_path / "binary.cell"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    assert "not text" in refused("derive", binary)
    assert "no cell or model is called 'lst'" in refused("derive", "lst")
    assert "no such file" in refused("derive", tmp_path / "missing.cell")
    assert "is a directory" in refused("derive", tmp_path)


def test_a_file_that_is_not_there(cell_file, tmp_path):
    """The file beside it that may be meant is named; where there is none, what to do."""
    (tmp_path / "ours.txt").write_text("dh = 1")
    (tmp_path / "ours.toml").write_text('layout = "row"')
    assert f"Did you mean '{cell_file}'?" in refused("derive", tmp_path / "mien.cell")
    assert "or a name of `bptt cells`" in refused("derive", tmp_path / "other.cell")
    assert "or a name of `bptt models`" in refused("derive", tmp_path / "mine.model")
    assert "ours.txt'?" in refused("check", tmp_path / "our.txt")
    assert "Give the path of a file that is there: formulas" in refused("check", tmp_path)
    assert "Give the path of a .py file" in refused("check", tmp_path / "none.py")
    for command in ("train", "study"):
        assert "ours.toml'?" in refused(command, tmp_path / "hours.toml")
        assert f"to write one to start from: bptt {command} --new" in refused(command, tmp_path / "x.toml")
        assert f"to write one to start from: bptt {command} --new" in refused(command, tmp_path)
    assert "ours.toml'?" in refused("derive", "rnn", "--notation", tmp_path / "our.toml")
    assert "Give the path of one that is there" in refused("flow", tmp_path / "none.pt")


def test_a_model_where_a_cell_is_wanted_and_a_cell_where_a_model_is(cell_file, tmp_path, monkeypatch):
    for command in ("kernel", "flow", "bench", "report", "compose"):
        assert "attention: a sequence model, where a cell is wanted" in refused(command, "attention")
    assert "a sequence model, where a cell is wanted" in refused("flow", tmp_path / "mine.model")
    monkeypatch.chdir(tmp_path)
    for name in ("lstm", "mine.cell"):
        Path("mine.toml").write_text(f'model = "{name}"\ntask = "characters"')
        assert f"bptt compose {name} -o" in refused("train", "mine.toml").replace(f"{tmp_path}/", "")


def test_outputs_that_cant_be_written(cell_file, tmp_path):
    assert "unknown kind of document" in refused("derive", cell_file, "-o", tmp_path / "page.docx")
    assert "does not exist" in refused("derive", cell_file, "-o", tmp_path / "no" / "page.pdf")
    away = tmp_path / "no"
    for command in (("kernel", cell_file, "-o", away / "page.py"), ("train", "--new", away / "a.toml")):
        assert f"no such file or directory. Make the folder '{away}' first" in refused(*command)
    assert "not a directory" in refused("report", "rnn", "-o", cell_file / "out")
    assert "file exists" in refused("report", "rnn", "-o", cell_file)
    assert sorted(tmp_path.iterdir()) == [cell_file]


def test_texts_that_are_none(cell_file, tmp_path):
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "short.txt").write_text("abc")
    quick = ("flow", "rnn", "--quick", "--text")
    assert "not text in UTF-8" in refused(*quick, tmp_path / "binary.txt")
    assert "can't be read" in refused(*quick, tmp_path / "missing.txt")
    assert "has 3 characters" in refused(*quick, tmp_path / "short.txt")


def test_wrong_use():
    assert "Missing argument" in refused("derive")
    assert "No such command" in refused("deriv")
    assert "is not in the range" in refused("flow", "rnn", "--steps", 0)
    assert "two cells are called" in refused("flow", "rnn", "rnn", "--quick")
    assert "finite" in refused("flow", "rnn", "--quick", "--gain", "nan")


def test_an_exploding_study_says_so():
    result = invoke("flow", "rnn_relu", "--gain", 1e200, "--quick", "--seeds", 1)
    assert result.exit_code == 0 and "overflowed at step 2 in 8 of 8 runs" in result.output


def test_help_loads_nothing_heavy():
    code = "import sys; from bptt.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sympy", "numpy", "numba", "xarray", "matplotlib", "typst", "rich"} & set(loaded)


def test_no_traceback_in_a_real_process(tmp_path):
    (tmp_path / "bad.cell").write_text("h: state[n]\nh = exec('1')")
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bptt", "derive", "bad.cell"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("bptt: bad.cell, line 2, column 5: unknown function 'exec'")
    assert time.perf_counter() - start < 60
