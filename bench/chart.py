#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what the benchmarks measured as bars on a logarithmic scale.

    chart.py RESULTS.csv CHART.svg

One panel for each kind of work: mproc first, then its references, then its
peers. A bar ends at the median, the thin line goes from the least to the most
of all rounds. Python's standard library is all that it needs.
"""
import csv
import math
import sys
from html import escape

WIDTH = 960
LABELS = 290        # where the bars begin
RIGHT = 110         # room for the values behind them
ROW = 24
BAR = 14
PANEL_HEAD = 44
PANEL_FOOT = 34
TOP = 92

COLOURS = {"mproc": "#2563eb", "reference": "#475569", "peer": "#a8b3c4"}
INK, FAINT, GRID, PAPER = "#0f172a", "#64748b", "#e2e8f0", "#ffffff"

# What a number of each unit is called when it is large.
SCALES = {"us": [(1e6, "s"), (1e3, "ms"), (1, "\u00b5s"), (1e-3, "ns")], "ms": [(1e3, "s"), (1, "ms")],
          "ns": [(1e9, "s"), (1e6, "ms"), (1e3, "\u00b5s"), (1, "ns")]}


def with_unit(value, unit):
    for size, name in SCALES.get(unit, [(1, unit)]):
        if value >= size:
            break
    number = value / size
    return f"{number:.3g} {name}" if number < 1000 else f"{number:,.0f} {name}"


def read_panels(path):
    """[(title, note, unit, [(name, role, median, least, most)])] in the file's order."""
    panels = {}
    with open(path, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            panel = panels.setdefault((line["id"], line["work"]), {"unit": line["unit"], "bars": {}, "note": ""})
            for side, role in (("ours", "mproc"), ("theirs", line["role"])):
                name = line[side]
                role = "mproc" if name.startswith("mproc") else role
                if float(line[f"{side}_median"]) > 0 and name not in panel["bars"]:
                    panel["bars"][name] = (role, *(float(line[f"{side}_{what}"]) for what in ("median", "min", "max")))
            if line["target"] and not line["missing"] and not panel["note"]:
                panel["note"] = (f"{float(line['ratio_median']):.2f} times {line['theirs']}, "
                                 f"target {line['target']}: {line['verdict']}")
            elif line["verdict"] == "missed":
                panel["note"] += f"; missed beside {line['theirs']}"
    order = list(COLOURS)
    return [(f"{identity}  {work}", panel["note"], panel["unit"],
             sorted(((name, *bar) for name, bar in panel["bars"].items()), key=lambda bar: order.index(bar[1])))
            for (identity, work), panel in panels.items() if panel["bars"]]


def text(x, y, words, size=13, colour=INK, anchor="start", weight=400):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def draw_axis(scale, decades, unit, top, bottom):
    parts = []
    for decade in decades:
        x = scale(10 ** decade)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(text(x, bottom + 16, with_unit(10 ** decade, unit), 11, FAINT, "middle"))
    return parts


def draw_bar(scale, y, bar, unit):
    name, role, median, least, most = bar
    start, end, middle = LABELS, scale(median), y + ROW / 2
    return [
        text(LABELS - 10, middle + 4, name, 12.5, INK, "end", 600 if role == "mproc" else 400),
        f'<rect x="{start}" y="{middle - BAR / 2}" width="{max(end - start, 1):.1f}" height="{BAR}" rx="2" '
        f'fill="{COLOURS[role]}"/>',
        f'<line x1="{scale(least):.1f}" y1="{middle}" x2="{scale(most):.1f}" y2="{middle}" stroke="{INK}" '
        f'stroke-width="1.2" stroke-opacity="0.55"/>',
        text(max(end, scale(most)) + 8, middle + 4, with_unit(median, unit), 12, INK, "start", 600),
    ]


def draw_panel(panel, top):
    title, note, unit, bars = panel
    first = math.floor(math.log10(min(bar[3] for bar in bars)) - 0.05)
    last = max(math.ceil(math.log10(max(bar[4] for bar in bars))), first + 1)
    pixels = (WIDTH - RIGHT - LABELS) / (last - first)

    def scale(value):
        return LABELS + (math.log10(value) - first) * pixels

    y = top + PANEL_HEAD
    bottom = y + ROW * len(bars)
    parts = [text(24, top + 22, title, 15, INK, "start", 600), text(WIDTH - 24, top + 22, note, 12.5, FAINT, "end")]
    parts += draw_axis(scale, range(first, last + 1), unit, y - 4, bottom)
    for bar in bars:
        parts += draw_bar(scale, y, bar, unit)
        y += ROW
    return parts, bottom + PANEL_FOOT


def draw_legend():
    parts = [text(24, 38, "mproc, measured side by side with its references", 20, INK, "start", 700)]
    x = 24
    for name, words in (("mproc", "mproc"), ("reference", "reference: the system's own calls"),
                        ("peer", "peer: another library")):
        parts.append(f'<rect x="{x}" y="54" width="12" height="12" rx="2" fill="{COLOURS[name]}"/>')
        parts.append(text(x + 18, 64.5, words, 12.5, FAINT))
        x += 40 + 6.6 * len(words)
    parts.append(text(WIDTH - 24, 64.5, "logarithmic scale; shorter is better", 12.5, FAINT, "end"))
    return parts


def draw(panels):
    parts, top = draw_legend(), TOP
    for panel in panels:
        more, top = draw_panel(panel, top)
        parts += more
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" width="{WIDTH}" height="{top:.0f}" '
        'font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">',
        f'<rect width="{WIDTH}" height="{top:.0f}" fill="{PAPER}"/>', *parts, "</svg>", ""])


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: chart.py RESULTS.csv CHART.svg")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(draw(read_panels(sys.argv[1])))


if __name__ == "__main__":
    main()
