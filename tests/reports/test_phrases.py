"""The catalogue has a sentence for every rule; no module names a cell."""

import re
from pathlib import Path

import pytest

import bptt
import bptt.reports
from bptt.derive.linear import NODES
from bptt.reports.phrases import Phrases

FOLDER = Path(bptt.reports.__file__).parent


@pytest.mark.parametrize("name", sorted(NODES))
def test_every_tensor_map_has_a_sentence(name):
    assert f"rule.{name}" in Phrases()


def test_every_sentence_that_is_used_exists():
    phrases = Phrases()
    for path in FOLDER.glob("*.py"):
        for key in re.findall(r'(?:plain|text|paragraph)\("((?:\w+)\.(?:\w+))"', path.read_text("utf-8")):
            assert key in phrases, f"{path.name} uses {key}"


def test_no_module_names_a_cell():
    for path in FOLDER.glob("*.py"):
        assert not re.search("lstm|gru", path.read_text("utf-8"), re.IGNORECASE), path.name
