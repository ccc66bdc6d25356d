"""The claims section: each statement with its verdict, what was measured, where it holds, and the figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.claims.claim import FAILS, HOLDS, OPEN, UNMEASURED, Claim, Finding, Rule, regime
from .document import Block, Figure, Heading, Mark, Note, Paragraph, Strong, Table, Text
from .figures import picture
from .phrases import Phrases
from .plots import DASHES, PALETTE, Curve, Panel, Plot, colours, number, shades

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MARKS = {HOLDS: True, FAILS: False}
MOST_LETTERS = 170  # of a sentence about one quantity
MOST_LISTED = 3  # stretches of a regime that a sentence lists; a table shows all
MOST_PLACES, MOST_SHOWN = 4, 1e4
GREY = "#5b5f66"
LOG_FROM = 8.0  # ratio of the largest x to the smallest from which the scale is logarithmic


def claims_section(claims: Sequence[Claim], phrases: Phrases, paints: Mapping[str, str] | None = None) -> list[Block]:
    """Return the section: a table of all verdicts, and then each claim.

    Args:
        claims: as measured.
        phrases: the language; it has a statement for each claim's name.
        paints: cell -> colour, as in the rest of the report; other cells get those that are left.
    """
    writer = _Writer(phrases, colours([*(paints or {}), *_cells(claims)]))
    blocks: list[Block] = [
        Heading(phrases.plain("claims.title")),
        Paragraph((f"{phrases.plain('claims.lead')} {writer.setup(claims[0])}",)),
        writer.overview(claims),
    ]
    for claim in claims:
        blocks += writer.claim(claim)
    return blocks


class _Writer:
    def __init__(self, phrases: Phrases, paints: Mapping[str, str]) -> None:
        self.phrases = phrases
        self.paints = paints

    def overview(self, claims: Sequence[Claim]) -> Table:
        plain = self.phrases.plain
        header: tuple[Text, ...] = tuple((plain(f"claims.{key}"),) for key in ("statement", "verdict", "points"))
        rows: list[tuple[Text, ...]] = []
        for claim in claims:
            held = sum(len(regime(finding, HOLDS)) for finding in claim.findings)
            points = sum(finding.verdicts.size for finding in claim.findings)
            verdict = self.phrases.text(
                "claims.cell", mark=mark(claim.verdict), verdict=self.word(claim.verdict).rstrip(".")
            )
            rows.append(((self.statement(claim),), verdict, (f"{held}/{points}",)))
        return Table(header, tuple(rows), "llr", self.phrases.text("claims.overview"), wide=0)

    def statement(self, claim: Claim) -> str:
        return self.phrases.plain(f"claim.{claim.name}.statement", **self.named(claim))

    def named(self, claim: Claim) -> dict[str, str]:
        """Return the settings of a claim as words: lists as enumerations."""
        words = {}
        for key, value in claim.settings.items():
            items = list(map(str, value)) if isinstance(value, list | tuple) else [str(value)]
            if key.endswith("functions"):
                items = [self.phrase(f"function.{item}", item) for item in items]
            words[key] = "".join(map(str, self.phrases.join(items)))
        return words

    def word(self, verdict: str) -> str:
        return self.phrases.plain(f"claims.{_key(verdict)}")

    def claim(self, claim: Claim) -> list[Block]:
        why = [claim.missing[:1].upper() + claim.missing[1:]] if claim.missing else self.regimes(claim)
        verdict: Text = (Strong(self.word(claim.verdict)), *(" " + sentence for sentence in why))
        blocks: list[Block] = [
            Heading(self.statement(claim), 2),
            Note("", (mark(claim.verdict), " ", *verdict), bad=claim.verdict == FAILS),
        ]
        if claim.missing:
            return blocks
        blocks.append(Paragraph((self.phrases.plain(f"claim.{claim.name}.measured", **self.named(claim)),)))
        blocks += [self.table(finding) for finding in claim.findings]
        curves = claim.curves
        if curves is not None and curves.sizes[curves.attrs["x"]] > 1 and bool(curves["mean"].notnull().any()):
            blocks.append(self.figure(claim))
        return blocks

    def setup(self, claim: Claim) -> str:
        settings = {key: str(value) for key, value in claim.settings.items()}
        settings["level"] = f"{float(claim.settings['level']):.0%}"
        settings["data"] = self.phrase(f"comparison.{claim.settings['data']}", str(claim.settings["data"]))
        return self.phrases.plain("claims.setup", **settings)

    def phrase(self, key: str, otherwise: str) -> str:
        return self.phrases.plain(key) if key in self.phrases else otherwise

    def quantity(self, finding: Finding) -> str:
        return self.phrases.plain(f"quantity.{finding.name}")

    def rule(self, rule: Rule) -> str:
        least, most = number(rule.least), number(rule.most)
        kind = "outside" if rule.outside else "between"
        if not rule.outside and math.isinf(rule.most):
            kind = "above"
        if not rule.outside and math.isinf(rule.least):
            kind = "below"
        return self.phrases.plain(f"claims.{kind}", least=least, most=most)

    # where it holds

    def regimes(self, claim: Claim) -> list[str]:
        """Return a sentence for each finding that says where it holds, fails and stays open."""
        found = []
        for finding in claim.findings:
            about = self.phrases.plain(f"aspect.{finding.name}") if len(claim.findings) > 1 else ""
            points = {verdict: regime(finding, verdict) for verdict in (HOLDS, FAILS, OPEN, UNMEASURED)}
            kinds = [verdict for verdict, those in points.items() if those]
            if len(kinds) == 1:
                parts = [self.phrases.plain(f"claims.{_key(kinds[0])}_everywhere")] if about else []
            else:
                parts = [self.among(finding, verdict, points[verdict]) for verdict in kinds]
                if sum(map(len, parts)) > MOST_LETTERS:
                    parts = [self.among(finding, verdict, points[verdict], brief=True) for verdict in kinds]
            if parts:
                said = self.phrases.plain("claims.between_regimes").join(parts)
                key = "claims.regimes_of" if about else "claims.regimes"
                found.append(self.phrases.plain(key, aspect=about, regimes=said))
        return found

    def among(self, finding: Finding, verdict: str, points: list[dict[str, Any]], brief: bool = False) -> str:
        """Return at which points a finding has a verdict, or at how many."""
        where = "" if brief else self.where(finding, points)
        parts = {"where": where, "count": len(points), "all": finding.verdicts.size}
        return self.phrases.plain(f"claims.{_key(verdict)}_{'where' if where else 'at'}", **parts)

    def where(self, finding: Finding, points: list[dict[str, Any]]) -> str:
        """Return points as stretches of the last numeric dimension; nothing where that would be too long."""
        dims = [str(dim) for dim in finding.verdicts.dims if finding.verdicts.sizes[dim] > 1]
        if not dims:
            return ""
        *before, along = dims
        every = finding.verdicts[along].values.tolist()
        stretches = []
        for others, group in groupby(points, key=lambda point: tuple(point[dim] for dim in before)):
            said = self.stretch(along, [point[along] for point in group], every)
            stretches.append(", ".join([*(self.at(d, v) for d, v in zip(before, others, strict=True)), said]))
        if len(stretches) > MOST_LISTED or sum(len(stretch) for stretch in stretches) > 220:
            return ""
        return "; ".join(stretches)

    def at(self, dim: str, value: Any) -> str:
        """Return a coordinate as words: a name by itself, a number with what it is of."""
        return self.value(value) if isinstance(value, str) else f"{self.axis(dim)} {self.value(value)}"

    def value(self, value: Any) -> str:
        """Return a coordinate as it was chosen.

        >>> _Writer(Phrases(), {}).value(-2.0), _Writer(Phrases(), {}).value(0.25)
        ('−2', '0.25')
        """
        if isinstance(value, str):
            return self.phrase(f"choice.{value}", value)
        return f"{value:g}".replace("-", "−")

    def stretch(self, dim: str, values: list[Any], every: list[Any]) -> str:
        if isinstance(values[0], str):
            return "".join(map(str, self.phrases.join([self.at(dim, value) for value in values])))
        places = [every.index(value) for value in values]
        runs = []
        for _, run in groupby(enumerate(places), key=lambda pair: pair[1] - pair[0]):
            first, *_, last = [every[place] for _, place in run] * 2
            ends = [self.value(value) for value in (first, last)]
            is_one = first == last
            runs.append(ends[0] if is_one else self.phrases.plain("claims.range", first=ends[0], last=ends[1]))
        return f"{self.axis(dim)} {''.join(map(str, self.phrases.join(runs)))}"

    def axis(self, dim: str) -> str:
        return self.phrases.plain(f"axis.{dim}")

    # numbers

    def table(self, finding: Finding) -> Table:
        """Return a finding point by point: where it has several dimensions, the shortest of them runs across."""
        measured, verdicts = finding.measured.squeeze(drop=True), finding.verdicts.squeeze(drop=True)
        *down, across = sorted(map(str, verdicts.dims), key=lambda dim: -verdicts.sizes[dim]) or [""]
        if not down and across:
            down, across = [across], ""
        rows = []
        for places in np.ndindex(*(verdicts.sizes[dim] for dim in down)):
            at = dict(zip(down, places, strict=True))
            row: list[Text] = [(self.value(verdicts[dim].values[place].item()),) for dim, place in at.items()]
            if across:
                points = [{**at, across: place} for place in range(verdicts.sizes[across])]
                row += [self.number(verdicts.isel(p), short(measured.isel(p))) for p in points]
            else:
                found = str(verdicts.isel(at).item())
                shown = self.phrases.plain("overflow.unmeasured")
                row += [(shown if found == UNMEASURED else interval(measured.isel(at)),), (mark(found),)]
            rows.append(tuple(row))
        heads = [self.axis(dim) for dim in down]
        if across:
            heads += [self.at(across, value.item()) for value in verdicts[across].values]
        else:
            heads += [self.quantity(finding), self.phrases.plain("claims.verdict")]
        align = "l" * len(down) + ("r" * (len(heads) - len(down)) if across else "rc")
        quantity = self.quantity(finding)
        about = quantity[:1].upper() + quantity[1:]
        caption = self.phrases.text("claims.table", quantity=about, rule=self.rule(finding.rule))
        return Table(tuple((head,) for head in heads), tuple(rows), align, caption)

    def number(self, verdict: DataArray, shown: str) -> Text:
        """Return the mark of a verdict with its number, or "overflow" where there is none."""
        found = str(verdict.item())
        return mark(found), " ", self.phrases.plain("overflow.short") if found == UNMEASURED else shown

    # figure

    def figure(self, claim: Claim) -> Figure:
        assert claim.curves is not None
        plot = self.plot(claim.curves)
        said = []
        for panel in plot.panels:
            for curve in panel.curves:
                title = f" ({panel.title})" if panel.title else ""
                first, last = (f"{number(float(curve.mean[end]))}" for end in (0, -1))
                parts = {"curve": curve.name + title, "first": first, "last": last}
                said.append(self.phrases.plain("claims.alt_curve", **parts))
        alt = self.phrases.plain("claims.alt", x=plot.x, y=plot.y, curves="; ".join(said))
        key = f"claim.{claim.name}.figure"
        lead = self.phrases.plain(key, **self.named(claim)) + " " if key in self.phrases else ""
        caption = f"{lead}{self.caption(claim)}"
        return picture(plot, alt, (caption,))

    def caption(self, claim: Claim) -> str:
        settings = {key: str(value) for key, value in claim.settings.items()}
        settings["level"] = f"{float(claim.settings['level']):.0%}"
        return self.phrases.plain("claims.caption", **settings)

    def plot(self, curves: Dataset) -> Plot:
        """Return curves as a plot; `attrs` name "x", "series" and "quantity", and maybe "panel", "band", "line"
        and "log_y"."""
        x, series, panel = (str(curves.attrs.get(key, "")) for key in ("x", "series", "panel"))
        label = self.phrases.plain(f"quantity.{curves.attrs['quantity']}")
        xs = curves[x].values.astype(float)
        is_log = bool(xs.min() > 0 and xs.max() / xs.min() >= LOG_FROM)
        band, log_y = curves.attrs.get("band"), bool(curves.attrs.get("log_y"))
        lines = (float(curves.attrs["line"]),) if "line" in curves.attrs else ()
        panels = []
        for place in range(curves.sizes[panel] if panel else 1):
            at = curves.isel({panel: place}) if panel else curves
            title = self.at(panel, at[panel].values.item()) if panel else ""
            drawn = self.curves(at, x, series)
            panels.append(Panel(title, drawn, lines, (-band, band) if band else None))
        return Plot(tuple(panels), self.axis(x), label, log_x=is_log, log_y=log_y)

    def curves(self, found: Dataset, x: str, series: str) -> tuple[Curve, ...]:
        names = [value.item() if hasattr(value, "item") else value for value in found[series].values]
        ramp = shades(len(names))
        drawn = []
        for place, name in enumerate(names):
            at = found.isel({series: place})
            colour = self.paints.get(name, PALETTE[place % len(PALETTE)]) if isinstance(name, str) else ramp[place]
            mean, low, high = (_values(at[part]) for part in ("mean", "low", "high"))
            xs = at[x].values.astype(float)
            dash = DASHES[place % len(DASHES)]
            drawn.append(Curve(self.at(series, name), xs, mean, low, high, colour, dash, marks=True))
        if "theory" in found:
            theory = _values(found["theory"])
            label = self.phrases.plain("claims.theory")
            drawn.append(Curve(label, found[x].values.astype(float), theory, theory, theory, GREY, theory=True))
        return tuple(drawn)


def _key(verdict: str) -> str:
    return verdict.replace(" ", "_")


def _cells(claims: Sequence[Claim]) -> list[str]:
    """Return the cells whose curves are drawn."""
    drawn = [claim.curves for claim in claims if claim.curves is not None]
    return [str(name) for curves in drawn if "cell" in curves.coords for name in np.atleast_1d(curves.cell.values)]


def _values(found: DataArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(found.values, float)


def mark(verdict: str) -> Mark:
    """Return the sign of a verdict: a tick, a cross, or a circle for what isn't plain."""
    return Mark(MARKS.get(verdict))


def interval(point: Dataset) -> str:
    """Return a value with its interval, and alone where it is exact.

    >>> import xarray as xr
    >>> interval(xr.Dataset({"value": 1.0, "low": 0.5, "high": 1.5}))
    '1.00 (0.500 to 1.50)'
    """
    value, low, high = (float(point[name]) for name in ("value", "low", "high"))
    if low == high:
        return number(value)
    if math.isnan(low):
        return number(value)
    return f"{number(value)} ({number(low)} to {number(high)})"


def short(point: Dataset) -> str:
    """Return a value with half its interval's width, for a table with many columns.

    >>> import xarray as xr
    >>> short(xr.Dataset({"value": 1.0, "low": 0.5, "high": 1.5}))
    '1.00 ± 0.50'
    >>> short(xr.Dataset({"value": -0.01, "low": -6.61, "high": 6.59}))
    '0.0 ± 6.6'
    """
    value, low, high = (float(point[name]) for name in ("value", "low", "high"))
    half = (high - low) / 2
    if not math.isfinite(half) or half == 0:
        return number(value)
    places = max(0, 1 - int(f"{half:.1e}".partition("e")[2]))
    if places > MOST_PLACES or half >= MOST_SHOWN:
        return f"{number(value)} ± {number(half)}"
    return f"{value:z.{places}f} ± {half:.{places}f}".replace("-", "−")
