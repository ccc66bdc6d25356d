"""Heat maps as SVG: small pictures side by side, such as attention over an image."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from .figures import STYLE

if TYPE_CHECKING:
    from xarray import DataArray

MOST_COLUMNS = 6


def heatmaps(values: DataArray, behind: DataArray | None = None) -> bytes:
    """Draw heat maps in one scale of colours.

    Args:
        values: over (picture, row, column); the labels of `picture` stand above. Text coordinates of rows and columns
            are their ticks.
        behind: pictures of as many, drawn in grey under them, such as the image that attention looks at.

    Returns:
        The SVG; text in it is paths.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    picture, *sides = (str(dim) for dim in values.dims)
    count = values.sizes[picture]
    across = min(count, MOST_COLUMNS)
    down = math.ceil(count / across)
    high, wide = (values.sizes[side] for side in sides)
    width = 7.2 / across
    with rc_context(STYLE):
        canvas = Canvas(figsize=(7.2, down * (width * min(high / wide, 1.6) + 0.35)), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.subplots(down, across, squeeze=False).ravel()
        low, top = float(values.min()), float(values.max())
        for place, axis in enumerate(axes):
            axis.set_visible(place < count)
            if place >= count:
                continue
            extent = (0, wide, high, 0)
            if behind is not None:
                axis.imshow(behind.values[place], cmap="gray_r", extent=extent, interpolation="nearest")
            axis.imshow(
                values.values[place],
                cmap="Blues" if behind is None else "inferno",
                alpha=1.0 if behind is None else 0.6,
                vmin=low,
                vmax=top,
                extent=extent,
                interpolation="nearest",
                aspect="equal" if behind is not None else "auto",
            )
            axis.set_title(str(values[picture].values[place]), fontsize=8)
            for side, set_ticks in zip(sides, (axis.set_yticks, axis.set_xticks), strict=True):
                labels: Any = values[side].values if side in values.coords and values[side].dtype.kind in "UO" else []
                set_ticks([k + 0.5 for k in range(len(labels))], list(map(str, labels)), fontsize=6)
        stream = io.BytesIO()
        canvas.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
