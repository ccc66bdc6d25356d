"""The command about this installation: doctor."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version

import click

import bptt

from .console import give_json
from .options import JSON

OPTIONAL = {
    "torch": "peers of `bptt bench`, `bptt.to_torch`, checks of torch code",
    "jax": "peers of `bptt bench`",
    "distributed": "studies on a cluster: pip install 'bptt[dask]'",
    "h5py": "weights of Keras: pip install 'bptt[weights]'",
    "onnx": "weights in ONNX files: pip install 'bptt[weights]'",
    "koreanize-matplotlib": "PDFs in Korean: pip install 'bptt[korean]'",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: was looked at.
        found: there.
        well: whether bptt works with that; None where it is a choice.
        advice: what to do, where it doesn't.
    """

    what: str
    found: str
    well: bool | None
    advice: str = ""


MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", None)}


@click.command()
@JSON
def doctor(as_json: bool) -> None:
    """Say what is installed here, and what is missing.

    Exit status 0: all is well, 1: something must be mended.
    """
    findings = examine()
    if as_json:
        give_json([asdict(finding) for finding in findings])
    else:
        click.echo(as_text(findings))
    if any(finding.well is False for finding in findings):
        raise SystemExit(1)


def as_text(findings: Sequence[Finding]) -> str:
    """Return findings as lines for people."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        mark, colour = MARKS[finding.well]
        line = f"{click.style(mark, fg=colour)} {finding.what:<{width}}  {finding.found}"
        lines.append(f"{line}  {finding.advice}".rstrip())
    return "\n".join(lines)


def examine() -> list[Finding]:
    """Return everything that was looked at."""
    return [*_python(), *_machine(), *_cache(), *_needed(), *_chosen()]


def _python() -> list[Finding]:
    machine = f"{platform.system()} {platform.machine()}"
    found = f"{platform.python_implementation()} {platform.python_version()} on {machine}"
    recent = sys.version_info >= (3, 11)
    return [
        Finding("bptt", str(bptt.__version__), True),
        Finding("Python", found, recent, "" if recent else "use 3.11 or later"),
    ]


def _machine() -> list[Finding]:
    import numpy as np
    from llvmlite import binding  # type: ignore[import-untyped]  # it carries no types

    from bptt.analysis.studies.pool import cores

    features = {name for name, there in binding.get_host_cpu_features().items() if there}
    best = next((name for name in ("avx512f", "avx2", "neon", "sse4.2") if name in features), "none known")
    config = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    given = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    threads = "".join(f", {name}={number}" for name, number in given.items())
    return [
        Finding("processor", f"{binding.get_host_cpu_name()}, vectors: {best}", None),
        Finding("cores", f"{cores()} for this process{threads}", None),
        Finding("BLAS", f"{config.get('name')} {config.get('version')}", None),
    ]


def _cache() -> list[Finding]:
    from bptt.kernels import cache

    folder = cache.folder()
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(nearest, os.W_OK):
        advice = "can't be written: kernels are compiled anew each time. Set BPTT_CACHE to a folder that can."
        return [Finding("kernel cache", str(folder), False, advice)]
    held = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    size = sum(path.stat().st_size for path in held) / 2**20
    room = shutil.disk_usage(nearest).free / 2**30
    return [Finding("kernel cache", f"{folder}: {size:.0f} MiB, {room:.0f} GiB free", room > 0.5)]


def _needed() -> list[Finding]:
    found = []
    for line in requires("bptt") or []:
        if "extra ==" not in line:
            name = line.split(">=")[0].split(";")[0].strip()
            found.append(_package(name) or Finding(name, "not installed", False, f"pip install '{line}'"))
    return found


def _chosen() -> list[Finding]:
    return [_package(name) or Finding(name, "not installed", None, f"for {use}") for name, use in OPTIONAL.items()]


def _package(name: str) -> Finding | None:
    try:
        return Finding(name, version(name), True)
    except PackageNotFoundError:
        return None
