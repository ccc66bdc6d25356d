"""A layered drawing of a directed graph: longest-path layers, barycentre ordering, and places that keep wires straight.

Sugiyama, K., Tagawa, S., Toda, M. (1981). Methods for visual understanding of hierarchical system structures. IEEE
Transactions on Systems, Man and Cybernetics 11, 109-125.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SWEEPS = 12
GAP = 0.75  # ems between neighbours of a layer
BEND = 0.55  # ems that a wire keeps from its neighbours
STRAIGHT = 8.0  # how much more a wire wants to stay straight than a node wants to stand amid its neighbours
Point = tuple[float, float]
Vertex = tuple[str, int]  # a node with its layer; another layer stands for the node's wire passing through


@dataclass(frozen=True)
class Layout:
    """Places in ems; layers run left to right, or top to bottom where `down`.

    Attributes:
        centres: of each node.
        sizes: of each node, (width, height); nodes of one layer are equally long in the layers' direction.
        wires: the points through which each edge passes, from where it leaves its node, or a wire of the same node, to
            the other node's border.
        width, height: of the whole drawing.
        down: whether layers run from top to bottom.
    """

    centres: Mapping[str, Point]
    sizes: Mapping[str, Point]
    wires: Mapping[tuple[str, str], tuple[Point, ...]]
    width: float
    height: float
    down: bool


def laid_out(sizes: Mapping[str, Point], edges: Sequence[tuple[str, str]], down: bool = False) -> Layout:
    """Place the nodes of a graph without cycles; the same graph always gets the same places.

    Args:
        sizes: of each node, (width, height) in ems; their order decides where nothing else does.
        edges: (from, to).
        down: let layers run from top to bottom instead of left to right.

    >>> found = laid_out({"a": (2, 1), "b": (2, 1)}, [("a", "b")])
    >>> found.centres["a"][1] == found.centres["b"][1], found.width > 4
    (True, True)
    """
    layers = _layers(list(sizes), edges)
    depth = max(layers.values(), default=0) + 1
    grid: list[list[Vertex]] = [[] for _ in range(depth)]
    for node in sizes:
        grid[layers[node]].append((node, layers[node]))
    segments: list[tuple[Vertex, Vertex]] = []
    for start, end in edges:
        for layer in range(layers[start], layers[end]):
            last = layer + 1 == layers[end]
            segment = ((start, layer), (end if last else start, layer + 1))
            if segment not in segments:
                segments.append(segment)
            if not last and segment[1] not in grid[layer + 1]:
                grid[layer + 1].append(segment[1])
    real = {(node, layer) for node, layer in layers.items()}
    across = {v: (sizes[v[0]][0 if down else 1] if v in real else 0.0) for row in grid for v in row}
    grid = _ordered(grid, segments)
    places = _placed(grid, segments, across, real)
    return _drawn(sizes, edges, layers, grid, places, down)


def _layers(nodes: list[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    layers = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for start, end in edges:
            layers[end] = max(layers[end], layers[start] + 1)
    return layers


def _neighbours(segments: list[tuple[Vertex, Vertex]]) -> tuple[dict[Vertex, list[Vertex]], dict[Vertex, list[Vertex]]]:
    before: dict[Vertex, list[Vertex]] = {}
    after: dict[Vertex, list[Vertex]] = {}
    for start, end in segments:
        after.setdefault(start, []).append(end)
        before.setdefault(end, []).append(start)
    return before, after


def _ordered(grid: list[list[Vertex]], segments: list[tuple[Vertex, Vertex]]) -> list[list[Vertex]]:
    """Order every layer by the mean place of its neighbours, back and forth; keep the order with fewest crossings."""
    before, after = _neighbours(segments)
    best, fewest = grid, _crossings(grid, after)
    rows = [list(row) for row in grid]
    for sweep in range(2 * SWEEPS):
        forward = sweep % 2 == 0
        beside = before if forward else after
        for number in range(len(rows)) if forward else reversed(range(len(rows))):
            known = {v: place for row in rows for place, v in enumerate(row)}

            def mean(v: Vertex, known: dict[Vertex, int] = known, beside: dict[Vertex, list[Vertex]] = beside) -> float:
                near = [known[w] for w in beside.get(v, [])]
                return sum(near) / len(near) if near else float(known[v])

            rows[number] = sorted(rows[number], key=mean)
        rows = _swapped(rows, after)
        if (count := _crossings(rows, after)) < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def _swapped(rows: list[list[Vertex]], after: dict[Vertex, list[Vertex]]) -> list[list[Vertex]]:
    """Swap neighbours wherever that leaves fewer crossings."""
    for number, row in enumerate(rows):
        for place in range(len(row) - 1):
            around = rows[max(number - 1, 0) : number + 2]
            count = _crossings(around, after)
            row[place], row[place + 1] = row[place + 1], row[place]
            if _crossings(around, after) >= count:
                row[place], row[place + 1] = row[place + 1], row[place]
    return rows


def _crossings(rows: list[list[Vertex]], after: dict[Vertex, list[Vertex]]) -> int:
    count = 0
    for row, following in zip(rows, rows[1:], strict=False):
        known = {v: place for place, v in enumerate(following)}
        ends = [sorted(known[w] for w in after.get(v, []) if w in known) for v in row]
        count += sum(
            a > b for place, first in enumerate(ends) for second in ends[place + 1 :] for a in first for b in second
        )
    return count


def _placed(
    grid: list[list[Vertex]],
    segments: list[tuple[Vertex, Vertex]],
    across: dict[Vertex, float],
    real: set[Vertex],
) -> dict[Vertex, float]:
    """Give every vertex its place within its layer: as near to its neighbours as order and distances allow."""
    before, after = _neighbours(segments)
    places: dict[Vertex, float] = {}
    offsets: dict[Vertex, float] = {}
    for row in grid:
        offset = 0.0
        for first, second in zip([row[0], *row], row, strict=False):
            if first != second:
                gap = GAP if first in real and second in real else BEND
                offset += (across[first] + across[second]) / 2 + gap
            places[second] = offsets[second] = offset
        for v in row:
            places[v] -= offset / 2
    for sweep in range(4 * SWEEPS):
        for row in grid if sweep % 2 == 0 else reversed(grid):
            wishes, weights = [], []
            for v in row:
                near = [
                    (w, STRAIGHT if v not in real or w not in real else 1.0)
                    for w in (*before.get(v, []), *after.get(v, []))
                ]
                weight = sum(share for _, share in near) + 1e-6
                wishes.append((sum(places[w] * share for w, share in near) + 1e-6 * places[v]) / weight - offsets[v])
                weights.append(weight)
            for v, place in zip(row, _rising(wishes, weights), strict=True):
                places[v] = place + offsets[v]
    return places


def _rising(wishes: list[float], weights: list[float]) -> list[float]:
    """Return the rising sequence that is nearest to the wishes, in weighted squares (pool adjacent violators).

    >>> _rising([3, 1, 5], [1, 1, 1])
    [2.0, 2.0, 5.0]
    """
    pools: list[tuple[float, float, int]] = []
    for wish, weight in zip(wishes, weights, strict=True):
        pool = (wish * weight, weight, 1)
        while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    return [total / weight for total, weight, count in pools for _ in range(count)]


def _drawn(
    sizes: Mapping[str, Point],
    edges: Sequence[tuple[str, str]],
    layers: dict[str, int],
    grid: list[list[Vertex]],
    places: dict[Vertex, float],
    down: bool,
) -> Layout:
    along = 1 if down else 0
    spread = {node: size[1 - along] / 2 for node, size in sizes.items()}
    low = min((places[v] - spread[v[0]] * (layers[v[0]] == v[1]) for row in grid for v in row), default=0.0)
    high = max((places[v] + spread[v[0]] * (layers[v[0]] == v[1]) for row in grid for v in row), default=0.0)
    lengths = [max((sizes[n][along] for n, at in row if layers[n] == at), default=0.0) for row in grid]
    starts, end = [], 0.0
    for number, length in enumerate(lengths):
        starts.append(end)
        steepest = max(
            (
                abs(places[a, number] - places[b if layers[b] == number + 1 else a, number + 1])
                for a, b in edges
                if layers[a] <= number < layers[b]
            ),
            default=0.0,
        )
        end += length + (1.5 if down else 2.0) + min(0.16 * steepest, 2.4)
    total = (starts[-1] + lengths[-1]) if starts else 0.0

    def point(forth: float, side: float) -> Point:
        x, y = (side - low, forth) if down else (forth, side - low)
        return round(x, 3), round(y, 3)

    centres, boxes = {}, {}
    for node, layer in layers.items():
        centres[node] = point(starts[layer] + lengths[layer] / 2, places[node, layer])
        boxes[node] = (sizes[node][0], lengths[layer]) if down else (lengths[layer], sizes[node][1])
    wires = {}
    seen: set[tuple[Point, Point]] = set()
    for first, last in edges:
        points = [point(starts[layers[first]] + lengths[layers[first]], places[first, layers[first]])]
        for layer in range(layers[first] + 1, layers[last]):
            points.append(point(starts[layer], places[first, layer]))
            points.append(point(starts[layer] + lengths[layer], places[first, layer]))
        points.append(point(starts[layers[last]], places[last, layers[last]]))
        while len(points) > 2 and (points[0], points[1]) in seen:  # another wire from the same node is drawn there
            points = points[1:]
        seen.update(zip(points, points[1:], strict=False))
        wires[first, last] = tuple(points)
    width, height = (high - low, total) if down else (total, high - low)
    return Layout(centres, boxes, wires, round(width, 3), round(height, 3), down)
