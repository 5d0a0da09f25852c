"""SVG charts of the report, as functions of numbers. Colors are CSS classes, so that CSS can switch to dark mode.

Text is escaped. No chart has a style attribute, which the report's security policy forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the funnel: `entered` pages reached it, `lost` of them were dropped there."""

    stage: str
    entered: int
    lost: int

    @property
    def left(self) -> int:
        """Pages that passed."""
        return self.entered - self.lost


_WIDTH, _HEIGHT = 1000, 295
_TOP, _STREAM = 16, 170  # top of the stream, and its height for all pages
_EDGE = 84  # width of the first and of the last label
_FALL = 52  # height of a branch below the stream
_BEND = 12  # radius of a branch's inner edge


def stream(steps: Sequence[Step], pages: int) -> Markup:
    """The funnel as a stream from left to right: dropped pages leave it as a branch at its lower edge."""
    if not pages or not steps:
        return Markup("")
    width = (_WIDTH - 2 * _EDGE) / len(steps)
    parts = [_label(_EDGE - 10, _TOP + _STREAM / 2, (f"{pages:,}", "pages read"), "end")]
    for number, step in enumerate(steps):
        parts.append(_stage(step, _EDGE + number * width, width, pages))
    last = steps[-1].left
    parts.append(_label(_WIDTH - _EDGE + 10, _TOP + _height_of(last, pages) / 2 + 4, (f"{last:,}", "kept"), "start"))
    title = f"{pages:,} pages read, {last:,} kept; the table below holds the numbers of every stage"
    return Markup('<svg class="stream" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, title, Markup("").join(parts)
    )


def _height_of(count: int, pages: int) -> float:
    return _STREAM * count / pages


def _stage(step: Step, x: float, width: float, pages: int) -> Markup:
    """One stage: its section of the stream, its branch and its label."""
    before, after = _height_of(step.entered, pages), _height_of(step.left, pages)
    flow = Markup('<rect class="flow" x="{:.1f}" y="{}" width="{:.1f}" height="{:.1f}"/>').format(
        x, _TOP, width + 1, max(after, 0.8)
    )
    if not step.lost:
        return flow
    thick = max(before - after, 1.5)
    bed = _TOP + _STREAM + _FALL
    bend = min(_BEND, width * 0.1)  # radius of the inner edge of the curve
    column = min(thick, width * 0.45)  # width of the branch below the stream, at most about half of the stage's section
    start = x + (width - bend - column) * 0.5
    lower = _TOP + after + thick
    branch = Markup(
        '<path class="loss" d="M{x:.1f} {top:.1f} H{start:.1f} A{rx:.1f} {ry:.1f} 0 0 1 {right:.1f} {turn:.1f} '
        "V{bed:.1f} H{left:.1f} V{turn:.1f} A{bend:.1f} {bend:.1f} 0 0 0 {start:.1f} {lower:.1f} "
        'H{x:.1f} Z"/>'
    )
    shape = branch.format(
        x=x, top=_TOP + after, start=start, rx=bend + column, ry=bend + thick, right=start + bend + column,
        turn=lower + bend, bed=bed, left=start + bend, bend=bend, lower=lower,
    )  # fmt: skip
    lines = (f"−{step.lost:,}", *step.stage.split("_"))
    return flow + shape + _label(start + bend + column / 2, bed + 18, lines, "middle")


def _label(x: float, y: float, lines: Sequence[str], anchor: str) -> Markup:
    spans = Markup("").join(
        Markup('<tspan x="{:.1f}" dy="{}" class="{}">{}</tspan>').format(
            x, 0 if n == 0 else 15, "number" if n == 0 else "word", line
        )
        for n, line in enumerate(lines)
    )
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, spans)


def bar(*parts: tuple[float, str]) -> Markup:
    """One horizontal bar of a table; a part is (share of the full width, CSS class), from left to right."""
    rects, x = [], 0.0
    for share, name in parts:
        width = max(min(share, 1.0 - x), 0.0)
        rects.append(
            Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="100%"/>').format(name, 100 * x, 100 * width)
        )
        x += width
    return Markup('<svg class="bar" aria-hidden="true">{}</svg>').format(Markup("").join(rects))


def histogram(bins: Sequence[tuple[str, float]], label: str, ticks: int = 5) -> Markup:
    """Columns with an axis; each column's number is shown as its tooltip."""
    if not bins:
        return Markup("")
    width, height, top = 480, 270, 236
    step, highest = width / len(bins), max(value for _, value in bins) or 1
    every = max(len(bins) // ticks, 1)
    drawn = []
    for number, (name, value) in enumerate(bins):
        tall = (top - 20) * value / highest
        drawn.append(
            Markup(
                '<rect class="flow" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}: {:,}</title></rect>'
            ).format(number * step + 1.5, top - tall, step - 3, tall, name, value)
        )  # fmt: skip
        if number % every == 0:
            drawn.append(Markup('<text class="word" x="{:.1f}" y="{}">{}</text>').format(number * step, top + 18, name))
    axis = Markup('<line class="axis" x1="0" y1="{0}" x2="{1}" y2="{0}"/>').format(top, width)
    return Markup('<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        width, height, label, axis, Markup("").join(drawn)
    )


def series(values: Sequence[float | None], label: str) -> Markup:
    """A small line over snapshots, oldest first, from the lowest to the highest value; gaps where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return Markup("")
    low, high = min(known), max(known)
    step = 180 / max(len(values) - 1, 1)
    points = [
        (10 + number * step, 34 - 28 * (value - low) / (high - low) if high > low else 20.0)
        for number, value in enumerate(values)
        if value is not None
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup(
        '<svg class="series" viewBox="0 0 200 40" role="img" aria-label="{}"><polyline class="trend" points="{}"/>'
        '<circle class="weighted" cx="{:.1f}" cy="{:.1f}" r="3.5"/></svg>'
    ).format(label, path, *points[-1])


def shares(target: float, actual: float, weighted: float, largest: float) -> Markup:
    """A domain's three shares on one axis. Hollow dot: actual; vertical line: target; filled dot: weighted."""

    def at(value: float) -> str:
        return f"{1 + 97 * value / largest:.2f}%" if largest else "1%"

    return Markup(
        '<svg class="shares" aria-hidden="true"><line class="axis" x1="1%" x2="98%" y1="50%" y2="50%"/>'
        '<line class="change" x1="{r}" x2="{w}" y1="50%" y2="50%"/>'
        '<line class="target" x1="{a}" x2="{a}" y1="12%" y2="88%"/>'
        '<circle class="actual" cx="{r}" cy="50%" r="4.5"/><circle class="weighted" cx="{w}" cy="50%" r="4.5"/></svg>'
    ).format(r=at(actual), w=at(weighted), a=at(target))


def gauge(value: float, threshold: float) -> Markup:
    """A measurement as a bar and the limit that it exceeded as a line, on one scale."""
    largest = max(abs(value), abs(threshold)) * 1.15 or 1.0
    at, limit = abs(value) / largest, abs(threshold) / largest
    return Markup(
        '<svg class="gauge" aria-hidden="true"><rect class="track" y="35%" width="100%" height="30%" rx="3"/>'
        '<rect class="loss" y="35%" width="{:.1f}%" height="30%" rx="3"/>'
        '<line class="limit" x1="{l:.1f}%" x2="{l:.1f}%" y1="5%" y2="95%"/></svg>'
    ).format(100 * at, l=100 * limit)
