"""docs/studies.md names every key and every measure; its study, table and Python run with the other pages."""

import re
from pathlib import Path

from bptt.analysis.studies.file import StudyFile
from bptt.analysis.studies.measures import MEASURES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def test_the_example_is_the_one_on_the_page():
    [study] = re.findall(r"```toml gain.toml\n(.*?)```", PAGE, re.DOTALL)
    assert (ROOT / "examples" / "gain.toml").read_text(encoding="utf-8") == study


def keys(heading):
    """The names in the first column of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = (line for line in section.splitlines() if line.startswith("| `"))
    return [key for line in lines for key in re.findall(r"`(\w+)`", line.split("|")[1])]


def test_every_key_and_every_measure_is_explained():
    assert sorted(keys("The file")) == sorted(StudyFile.model_fields)
    assert keys("The measures") == list(MEASURES)
    assert ", ".join(MEASURES) in PAGE
