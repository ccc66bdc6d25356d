"""docs/studies.md does what it says: its study, its table, its Python."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bptt.analysis.studies.file import StudyFile
from bptt.analysis.studies.measures import MEASURES
from bptt.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_is_the_one_on_the_page():
    [study] = [text for language, text in BLOCKS if language == "toml"]
    assert (ROOT / "examples" / "gain.toml").read_text(encoding="utf-8") == study


def test_the_table_and_the_python_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [study] = [text for language, text in BLOCKS if language == "toml"]
    Path("gain.toml").write_text(study, encoding="utf-8")
    result = CliRunner().invoke(main, ["study", "gain.toml", "--workers", "1"])
    assert result.exit_code == 0, result.output
    [table] = [text for _, text in BLOCKS if text.startswith("cell ")]
    assert [line.split() for line in table.splitlines()] == [line.split() for line in result.stdout.splitlines()]
    place = next(number for number, (language, _) in enumerate(BLOCKS) if language == "python")
    exec(BLOCKS[place][1].replace("study.run()", "study.run(resume=True)"), {})
    assert capsys.readouterr().out == BLOCKS[place + 1][1]


def keys(heading):
    """The names in the first column of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = (line for line in section.splitlines() if line.startswith("| `"))
    return [key for line in lines for key in re.findall(r"`(\w+)`", line.split("|")[1])]


def test_every_key_and_every_measure_is_explained():
    assert sorted(keys("The file")) == sorted(StudyFile.model_fields)
    assert keys("The measures") == list(MEASURES)
    assert ", ".join(MEASURES) in PAGE


@pytest.mark.parametrize("line", [line for _, text in BLOCKS for line in text.splitlines() if line.startswith("bptt ")])
def test_its_options_are_known(line):
    options = re.findall(r"--\w+", line.split("#")[0])
    shown = CliRunner().invoke(main, ["study", "--help"]).output
    assert all(option in shown for option in options)
