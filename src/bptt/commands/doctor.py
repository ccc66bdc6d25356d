"""The command about this installation: doctor."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version

import click

import bptt

from .console import give_json
from .options import JSON

OPTIONAL = {
    "torch": "`bptt bench`, `bptt.to_torch` and checks of torch code: pip install torch",
    "jax": "`bptt bench`: pip install jax",
    "distributed": "studies on a cluster: pip install 'bptt[dask]'",
    "h5py": "weights of Keras: pip install 'bptt[weights]'",
    "onnx": "ONNX files, in and out: pip install 'bptt[weights]'",
    "koreanize-matplotlib": "PDFs in Korean: pip install 'bptt[korean]'",
    "babel": "the gallery's dates: pip install 'bptt[systems]'",
    "scikit-learn": "the gallery's images: pip install 'bptt[systems]'",
    "statsmodels": "the gallery's sunspots: pip install 'bptt[systems]'",
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


ROOM = 0.5  # GiB that kernels may need
MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", None)}


@click.command()
@JSON
def doctor(as_json: bool) -> None:
    """Say what is installed here, and what is missing.

    Exit status 0: all is well, 1: something must be mended.
    """
    sections = examine()
    findings = [finding for section in sections.values() for finding in section]
    if as_json:
        give_json([asdict(finding) for finding in findings])
    else:
        click.echo(as_text(sections))
    if any(finding.well is False for finding in findings):
        raise SystemExit(1)


def as_text(sections: Mapping[str, Sequence[Finding]]) -> str:
    """Return findings as lines for people, and in the last line what must be mended."""
    findings = [finding for section in sections.values() for finding in section]
    width = max(len(finding.what) for finding in findings)
    lines = []
    for heading, section in sections.items():
        lines.append(click.style(heading, bold=True))
        for finding in section:
            mark, colour = MARKS[finding.well]
            line = f"  {click.style(mark, fg=colour)} {finding.what:<{width}}  {finding.found}"
            lines.append(f"{line}  {finding.advice}".rstrip())
        lines.append("")
    wrong = [finding.what for finding in findings if finding.well is False]
    return "\n".join([*lines, f"To be mended, as said above: {', '.join(wrong)}" if wrong else "All is well."])


def examine() -> dict[str, list[Finding]]:
    """Return everything that was looked at, under headings."""
    return {
        "This installation": [*_python(), *_cache(), *_fonts()],
        "This machine": _machine(),
        "Packages that bptt needs": _needed(),
        "Packages for more": [_package(name, f"for {use}", None) for name, use in OPTIONAL.items()],
    }


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
    advice = "" if room > ROOM else "make room there, or set BPTT_CACHE to a folder that has some"
    return [Finding("kernel cache", f"{folder}: {size:.0f} MiB, {room:.1f} GiB free", room > ROOM, advice)]


def _fonts() -> list[Finding]:
    from bptt.reports.fonts import FAMILY, hangul_folder

    korean = f", Hangul: {FAMILY}" if hangul_folder() else ", no Hangul"
    return [Finding("fonts of PDFs", f"those of Typst{korean}", None)]


def _needed() -> list[Finding]:
    lines = [line for line in requires("bptt") or [] if "extra ==" not in line]
    return [_package(line.partition(">=")[0].strip(), f"pip install '{line}'", False) for line in lines]


def _package(name: str, advice: str, missing: bool | None) -> Finding:
    """Return what is found of a package: it may be missing, or older than bptt asks for."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "not installed", missing, advice)
    [least, *_] = [*(_least(line) for line in requires("bptt") or [] if line.partition(">=")[0].strip() == name), ""]
    if least and _numbers(found) < _numbers(least):
        return Finding(name, found, False, f"older than {least}: pip install '{name}>={least}'")
    return Finding(name, found, True)


def _least(requirement: str) -> str:
    """Return the lowest version that a requirement allows.

    >>> _least("h5py>=3.12; extra == 'weights'"), _least("click")
    ('3.12', '')
    """
    return requirement.partition(">=")[2].partition(";")[0].partition(",")[0].strip()


def _numbers(release: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with.

    >>> _numbers("2.13.0+cpu") > _numbers("2.9"), _numbers("1.0rc1")
    (True, (1, 0))
    """
    found = re.match(r"\d+(\.\d+)*", release)
    return tuple(map(int, found[0].split("."))) if found else ()
