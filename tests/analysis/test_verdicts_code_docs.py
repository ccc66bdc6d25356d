"""The case of docs/check_code.md is judged as the page says."""

import re
from pathlib import Path

from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge

PAGE = (Path(__file__).parents[2] / "docs" / "check_code.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)
ERROR = re.compile(r"to \de-1\d")


def test_the_verdict_is_the_one_on_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = next(text for language, text in BLOCKS if text.startswith("# mine.py"))
    Path("mine.py").write_text(code, encoding="utf-8")
    printed = next(text for language, text in BLOCKS if text.startswith("mine.py:"))
    found = str(judge(find("mine.py", Adapter()), None, Adapter(), print)).strip()
    assert ERROR.sub("to ...", found) == ERROR.sub("to ...", printed.strip())


def test_the_adapter_of_the_page_is_read(tmp_path):
    stated = next(text for language, text in BLOCKS if "adapter=" in text)
    [text] = re.findall(r"adapter=(Adapter\(.*\))\)", stated)
    adapter = eval(text, {"Adapter": Adapter})
    path = tmp_path / "mine.py"
    path.write_text(next(t for _, t in BLOCKS if t.startswith("# mine.py")).replace("1 - c**2", "1 - np.tanh(c)**2"))
    assert judge(find(str(path), adapter), None, adapter, print).correct
