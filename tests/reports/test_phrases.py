"""The catalogue has a sentence for every rule; no module names a cell."""

import re
from pathlib import Path

import pytest

import bptt
import bptt.reports
from bptt.derive.errors import Error
from bptt.derive.functions import FUNCTIONS
from bptt.derive.linear import NODES
from bptt.reports.phrases import HOLE, Phrases, catalogue, languages

FOLDER = Path(bptt.reports.__file__).parent


@pytest.mark.parametrize("name", sorted(NODES))
def test_every_tensor_map_has_a_sentence(name):
    assert f"rule.{name}" in Phrases()


def test_every_sentence_that_is_used_exists():
    phrases = Phrases()
    for path in FOLDER.glob("*.py"):
        for key in re.findall(r'(?:plain|text|paragraph)\("((?:\w+)\.(?:\w+))"', path.read_text("utf-8")):
            assert key in phrases, f"{path.name} uses {key}"


@pytest.mark.parametrize("language", languages())
def test_every_language_has_every_sentence_with_its_holes(language):
    def sentences(table, path=""):
        for key, value in table.items():
            yield from sentences(value, f"{path}{key}.") if isinstance(value, dict) else [(path + key, value)]

    english, other = (dict(sentences(catalogue(code))) for code in ("en", language))
    assert {key for key in other if not key.startswith("kink.")} == set(english)
    for key, sentence in english.items():
        assert set(HOLE.findall(other[key])) == set(HOLE.findall(sentence)), key


def test_korean_speaks_of_every_kink():
    for rule in (function.rule for function in FUNCTIONS.values()):
        assert not rule.kink or f"kink.{rule.name}" in Phrases("ko"), rule.name


def test_unknown_language():
    with pytest.raises(Error, match="unknown language 'fr'. Known: en, ko"):
        Phrases("fr")


def test_no_module_names_a_cell():
    for path in FOLDER.glob("*.py"):
        assert not re.search("lstm|gru", path.read_text("utf-8"), re.IGNORECASE), path.name
