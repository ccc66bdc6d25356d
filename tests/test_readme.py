"""The README opens with what a newcomer needs; its blocks run with those of the pages in docs."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_it_opens_with_the_two_commands():
    [first, *_] = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert re.match(r"make report .*\nmake test ", first)


def test_its_cell_has_five_lines():
    [text] = re.findall(r"```python mine.cell\n(.*?)```", README, re.DOTALL)
    assert len(text.splitlines()) == 5


def test_its_functions_are_those_of_the_table():
    from bptt.derive.functions import FUNCTIONS

    [line] = [line for line in README.splitlines() if line.startswith("- Functions:")]
    assert set(re.findall(r"\w+", line.removeprefix("- Functions:"))) <= FUNCTIONS.keys()
