"""`bptt doctor`: everything that is needed is found, and what is missing says what to do."""

import json
from importlib.metadata import requires

from click.testing import CliRunner

from bptt.cli import main
from bptt.commands import doctor


def test_everything_needed_is_listed(tmp_path):
    run = CliRunner().invoke(main, ["doctor", "--json"], env={"BPTT_CACHE": str(tmp_path / "cache")})
    findings = {finding["what"]: finding for finding in json.loads(run.stdout)}
    assert run.exit_code == 0
    needed = {line.split(">=")[0] for line in requires("bptt") or [] if "extra ==" not in line}
    assert needed and needed <= set(findings) and all(findings[name]["well"] for name in needed)
    assert str(tmp_path / "cache") in findings["kernel cache"]["found"]
    assert {"cores", "BLAS", "fonts of PDFs"} <= set(findings)


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: ["no-such-package>=2", "dask>=1; extra == 'dask'"])
    run = CliRunner().invoke(main, ["doctor"])
    assert run.exit_code == 1
    assert "✗ no-such-package" in run.output and "pip install 'no-such-package>=2'" in run.output
    assert "dask>=1" not in run.output
    assert run.output.endswith("\nTo be mended, as said above: no-such-package\n")


def test_a_package_that_is_too_old_is_a_fault(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy>=99.5", "h5py>=99; extra == 'weights'"])
    run = CliRunner().invoke(main, ["doctor"])
    assert run.exit_code == 1
    assert "older than 99.5: pip install 'numpy>=99.5'" in run.output and "pip install 'h5py>=99'" in run.output


def test_a_cache_that_cannot_be_written_is_a_fault(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    run = CliRunner().invoke(main, ["doctor"], env={"BPTT_CACHE": str(tmp_path)})
    assert run.exit_code == 1 and "Set BPTT_CACHE to a folder that can." in run.output
