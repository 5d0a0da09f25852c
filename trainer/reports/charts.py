"""Line charts and heat maps as SVG text, so that a report is one file without further resources.

Every name is escaped: domains and URLs come from the web.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

NARROW, WIDE = (520, 220), (1060, 290)  # pixels as on the page, so that all text has one size
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 26  # margins for the axes
TREND = 3  # fewest points that are joined to a line: one or two batches are no trend
COLORS = 8  # classes c0 .. c7 of the style sheet; the most lines of a chart


@dataclass(frozen=True)
class Line:
    """One line; `low` and `high` draw a band behind it, the range of the values that a point averages."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dots: bool = False


@dataclass(frozen=True)
class Scale:
    """From values to pixels, linear or logarithmic."""

    low: float
    high: float
    first: float  # pixel of `low`
    last: float
    log: bool = False

    def at(self, value: float) -> float:
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.first + share * (self.last - self.first), 1)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers in [low, high], 1, 2 or 5 times a power of ten apart."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in [low, high]; their doubles and halves too where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 3 else (1,)
    return [f * 10.0**p for p in powers for f in factors if low * 0.999 <= f * 10.0**p <= high * 1.001]


def format_number(value: float) -> str:
    """A number for an axis: 1.2k, 3M, 0.05, 2e-5."""
    size = abs(value)
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.3g}{unit}"
    if size and size < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.3g}"


def line_chart(
    lines: Sequence[Line],
    *,
    wide: bool = False,
    log: bool = False,
    zero: bool = False,
    percent: bool = False,
    marks: Sequence[float] = (),
    warmup: float = 0,
) -> str:
    """An SVG with axes and lines, and the points as JSON for the page's script; empty where there are no points.

    marks: steps that get a warning mark on the axis. warmup: the last step of the warm-up, up to which it is shaded.
    """
    drawn = [line for line in lines if len(line.x)][:COLORS]
    if not drawn:
        return ""
    width, height = WIDE if wide else NARROW
    x, y = _fit_scales(drawn, width, height, log, zero)
    shapes = [_draw_warmup(x, min(warmup, x.high), height)] if warmup > x.low else []
    shapes += [_draw_warning(x.at(step), height) for step in marks]
    shapes += [part for number, line in enumerate(drawn) for part in _draw_line(line, number, x, y)]
    points = [
        {
            "name": line.name,
            "x": [x.at(v) for v in line.x],
            "step": list(line.x),
            "y": [float(f"{v:.5g}") for v in line.y],
        }
        for line in drawn
    ]
    data = escape(json.dumps({"lines": points, "percent": percent}), quote=True)
    axes = _draw_axes(x, y, height, percent)
    return (
        f'<svg viewBox="0 0 {width} {height}" class="chart" data-chart="{data}" role="img">'
        f'{axes}{"".join(shapes)}<line class="cursor" y1="{TOP}" y2="{height - BOTTOM}"/></svg>'
    )


def _fit_scales(lines: Sequence[Line], width: int, height: int, log: bool, zero: bool) -> tuple[Scale, Scale]:
    """Scales that contain all points; a logarithmic one only those above 0."""
    xs = [value for line in lines for value in line.x]
    ys = [value for line in lines for part in (line.y, line.low, line.high) for value in part]
    if log:
        ys = [value for value in ys if value > 0] or [1.0]
        low, high = min(ys) / 1.1, max(ys) * 1.1
    else:
        low, high = min(ys), max(ys)
        margin = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        low, high = (0.0 if zero else low - margin), high + margin
    first, last = min(xs), max(xs)
    x = Scale(first, last if last > first else first + 1, LEFT, width - RIGHT)
    return x, Scale(low, high, height - BOTTOM, TOP, log)


def _draw_axes(x: Scale, y: Scale, height: int, percent: bool) -> str:
    parts = []
    for value in log_ticks(y.low, y.high) if y.log else ticks(y.low, y.high):
        at, label = y.at(value), f"{value:.0%}" if percent else format_number(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{x.last}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{at + 4}" text-anchor="end">{label}</text>')
    parts += [
        f'<text class="tick" x="{x.at(value)}" y="{height - 7}" text-anchor="middle">{format_number(value)}</text>'
        for value in ticks(x.low, x.high, 6)
    ]
    return "".join(parts)


def _draw_warmup(x: Scale, end: float, height: int) -> str:
    """A shaded area, named where there is room."""
    width = round(x.at(end) - x.first, 1)
    label = f'<text class="tick" x="{x.first + 6}" y="{TOP + 13}">warm-up</text>' if width > 60 else ""
    return f'<rect class="warmup" x="{x.first}" y="{TOP}" width="{width}" height="{height - BOTTOM - TOP}"/>{label}'


def _draw_warning(at: float, height: int) -> str:
    """A vertical line with a triangle on the axis: this step is in the table of anomalies."""
    foot = height - BOTTOM
    return f'<path class="warning" d="M{at} {foot}V{TOP}M{at - 5} {foot}l5 -9l5 9z"/>'


def _draw_line(line: Line, number: int, x: Scale, y: Scale) -> list[str]:
    """The band, the line, and its dots."""
    parts = []
    if line.low:
        upper = [f"{x.at(a)},{y.at(b)}" for a, b in zip(line.x, line.high, strict=True)]
        lower = [f"{x.at(a)},{y.at(b)}" for a, b in zip(line.x, line.low, strict=True)][::-1]
        parts.append(f'<polygon class="band c{number}" points="{" ".join(upper + lower)}"/>')
    points = [(x.at(a), y.at(b)) for a, b in zip(line.x, line.y, strict=True)]
    if len(points) >= TREND:
        parts.append(f'<polyline class="line c{number}" points="{" ".join(f"{a},{b}" for a, b in points)}"/>')
    if line.dots or len(points) < TREND:
        parts += [f'<circle class="dot c{number}" cx="{a}" cy="{b}" r="3.2"/>' for a, b in points]
    return parts


def format_flops(flops: float) -> str:
    """FLOP/s with a prefix: 83 GFLOP/s."""
    for limit, prefix in ((1e15, "P"), (1e12, "T")):
        if flops >= limit:
            return f"{flops / limit:.3g} {prefix}FLOP/s"
    return f"{flops / 1e9:.3g} GFLOP/s"


def heat_map(rows: Sequence[Sequence[float]], names: Sequence[str], even: float) -> str:
    """Cells colored by the value relative to `even`, up to twice that; each shows its value as a percentage."""
    cell, height, label = 56, 26, 84
    width = label + cell * max(map(len, rows))
    parts = []
    for row, (values, name) in enumerate(zip(rows, names, strict=True)):
        at = row * (height + 3)
        parts.append(f'<text class="tick" x="{label - 8}" y="{at + 17}" text-anchor="end">{escape(name)}</text>')
        for column, value in enumerate(values):
            strength = min(value / even / 2, 1.0)
            left = label + column * cell
            parts.append(
                f'<rect class="cell" x="{left}" y="{at}" width="{cell - 3}" height="{height}" rx="4" '
                f'fill-opacity="{0.08 + 0.8 * strength:.2f}"/>'
                f'<text class="value{" strong" if strength > 0.62 else ""}" x="{left + cell / 2 - 1.5}" y="{at + 17}" '
                f'text-anchor="middle">{value:.0%}</text>'
            )
    box = f'viewBox="0 0 {width} {len(rows) * (height + 3)}" width="{width}"'
    return f'<svg class="heat" {box}>{"".join(parts)}</svg>'
