"""The pictures of `--plot`: each figure against its bar, then the series. Needs matplotlib (extra `bench`)."""

from __future__ import annotations

from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from tests.benchmarks.figures import Figure, Series, bar_of, met
from tests.benchmarks.report import Report, bar_shown, shown

_GOOD, _BAD, _LIMIT = "#2e7d4f", "#b3402e", "#333333"
_LINES = ("#2b5c8a", "#d1872b", "#7a7a7a", "#7b4b94", "#2e7d4f")
_WIDTH, _PANEL, _ROW = 11.0, 2.7, 0.42
_FARTHEST = 2.0
"""A figure at more than twice its bar is drawn to the edge; its label has the number."""


def draw(report: Report, folder: Path, *, beneath: str) -> list[Path]:
    """Write the picture of one measurement into `folder` and return its path; none when there is nothing to draw."""
    # what must be 0 and is needs no picture
    judged = [figure for figure in report.figures if (bar := bar_of(figure)) and (bar[1] or not met(figure))]
    series = report.result.series if report.result else ()
    panels = [list(group) for _, group in groupby(series, key=lambda one: (one.x_label, one.y_label))]
    if not judged and not panels:
        return []
    columns = 1 if len(panels) < 3 else 2
    rows = -(-len(panels) // columns)
    heights = [part for part in (len(judged) * _ROW + 0.5 * bool(judged), rows * _PANEL) if part]
    picture = pyplot.figure(figsize=(_WIDTH, sum(heights) + 1.0), layout="constrained")
    parts = list(picture.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if judged:
        _draw_bars(parts.pop(0).subplots(), judged)
    if panels:
        axes = parts[0].subplots(rows, columns, squeeze=False).flat
        for axis, group in zip_longest(axes, panels):
            if group is None:
                axis.set_axis_off()
            else:
                _draw_series(axis, group, judged)
    picture.suptitle(f"{report.title}: {report.about.rstrip('.')}", fontsize=11, x=0.01, ha="left", wrap=True)
    picture.supxlabel(beneath, fontsize=7, color="#777777", x=0.01, ha="left")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.png"
    picture.savefig(path, dpi=130)
    pyplot.close(picture)
    return [path]


def _draw_bars(axis: Any, figures: list[Figure]) -> None:
    """Draw each figure as its part of the bar, which is the line at 1."""
    for row, figure in enumerate(figures):
        part = _part(figure)
        axis.barh(row, min(part, _FARTHEST), height=0.62, color=_GOOD if met(figure) else _BAD)
        axis.text(
            min(part, _FARTHEST) + 0.015, row, f"{shown(figure)}  ({bar_shown(figure)})", va="center", fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    axis.axvline(1, color=_LIMIT, linewidth=1.2, linestyle="--")
    axis.set_yticks(range(len(figures)), [figure.what for figure in figures], fontsize=8.5)
    axis.invert_yaxis()
    axis.set_xlim(0, _FARTHEST + 0.5)
    axis.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "", "the bar", "", "twice"], fontsize=8.5)
    axis.spines[["top", "right"]].set_visible(False)


def _part(figure: Figure) -> float:
    """Return the figure as a part of its limit. A limit of 0 is met exactly or missed by far."""
    bar = bar_of(figure)
    assert bar is not None
    _, limit = bar
    if limit == 0:
        return 0.0 if met(figure) else _FARTHEST
    return max(0.0, figure.value / limit)


def _draw_series(axis: Any, group: list[Series], judged: list[Figure]) -> None:
    """Draw curves that share their axes, and as lines the bars of figures in the unit that the y axis starts with."""
    marker = "." if sum(len(series.x) for series in group) <= 60 else ""
    for series, colour in zip(group, _LINES * len(group), strict=False):
        axis.plot(series.x, series.y, label=series.name, color=colour, linewidth=1.2, marker=marker)
    highest = max((max(series.y, default=0.0) for series in group), default=0.0)
    for limit in sorted({bar[1] for figure in judged if _is_of(figure, group[0]) and (bar := bar_of(figure))}):
        if 0.25 * highest <= limit <= 1.6 * highest:  # others would be of another figure, or squash the curve
            axis.axhline(limit, color=_LIMIT, linewidth=0.9, linestyle="--")
    axis.set_xlabel(group[0].x_label, fontsize=8.5)
    axis.set_ylabel(group[0].y_label, fontsize=8.5)
    axis.tick_params(labelsize=8.5)
    axis.set_ylim(bottom=0)
    axis.margins(x=0.01)
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if len(group) > 1 or group[0].name != group[0].y_label:
        axis.legend(
            fontsize=7.5,
            handlelength=1.2,
            columnspacing=1.0,
            frameon=False,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=5,
            borderaxespad=0.2,
        )


def _is_of(figure: Figure, series: Series) -> bool:
    return bool(figure.unit) and series.y_label.partition(" ")[0] == figure.unit
