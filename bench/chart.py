#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what the benchmarks measured as bars on a logarithmic scale.

    chart.py RESULTS.csv CHART.svg

One panel for each kind of work: mproc first, then its references, then its
peers. A bar ends at the median, the thin line goes from the least to the most
of all rounds. What pools make of the CPUs, by the length of tasks, is drawn as
curves instead. Python's standard library is all that it needs.
"""
import csv
import math
import re
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

# Curves: who, under what name, and in what manner; those of one length of tasks are in lines whose work this pattern matches.
CURVES = {"mproc map, .chunk = 1": ("mproc, a task per item", "#2563eb", 2.6, ""),
          "mproc map": ("mproc, automatic chunks", "#0891b2", 2.6, "7 4"),
          "OpenMP schedule(dynamic,1)": ("OpenMP dynamic,1", "#0f172a", 1.6, ""),
          "C pool, two pipes": ("C pool, two pipes", "#64748b", 1.6, "4 3"),
          "Python Pool.map, chunksize=1": ("Python, chunksize=1", "#a8b3c4", 1.6, "")}
TASKS = re.compile(r"pool: tasks of ([\d.]+) (us|ms), ")
IDEAL = "no pool"
CURVES_HEIGHT = 300

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
            if TASKS.match(line["work"]):
                continue
            panel = panels.setdefault((line["id"], line["work"]), {"unit": line["unit"], "bars": {}, "note": ""})
            for side, role in (("ours", "mproc"), ("theirs", line["role"])):
                name = line[side]
                role = "mproc" if name.startswith("mproc") else role
                if float(line[f"{side}_median"]) > 0 and name not in panel["bars"]:
                    panel["bars"][name] = (role, *(float(line[f"{side}_{what}"]) for what in ("median", "min", "max")))
            if line["target"] and not line["missing"] and not panel["note"]:
                sign, target = line["target"].split()
                panel["note"] = (f"{float(line['ratio_median']):.2f} times {line['theirs']}, "
                                 f"target {sign} {float(target):.3g}: {line['verdict']}")
            elif line["verdict"] == "missed":
                panel["note"] += f"; missed beside {line['theirs']}"
    order = list(COLOURS)
    return [(f"{identity}  {work}", panel["note"], panel["unit"],
             sorted(((name, *bar) for name, bar in panel["bars"].items()), key=lambda bar: order.index(bar[1])))
            for (identity, work), panel in panels.items() if panel["bars"]]


def read_curves(path):
    """{who: [(length of a task in microseconds, part of what there is to reach)]}"""
    rates = {}
    with open(path, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            task = TASKS.match(line["work"])
            for side in ("ours", "theirs") if task else ():
                length = float(task[1]) * (1000 if task[2] == "ms" else 1)
                rates.setdefault(line[side], {})[length] = float(line[f"{side}_median"])
    ideal = rates.get(IDEAL, {})
    return {name: points for name in CURVES
            if (points := [(length, rate / ideal[length]) for length, rate in sorted(rates.get(name, {}).items())
                           if rate > 0 and ideal.get(length)])}


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
    if 8.6 * len(title) + 6.6 * len(note) > WIDTH - 60 and ";" in note:
        note = note.partition(";")[0] + "; others too"
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


def draw_curves(curves, top):
    lengths = [length for points in curves.values() for length, _ in points]
    first, last = math.floor(math.log10(min(lengths))), max(math.ceil(math.log10(max(lengths))), 1)
    left, right, y = 90, WIDTH - 24, top + PANEL_HEAD + ROW
    bottom = y + CURVES_HEIGHT

    def place(length, part):
        return left + (math.log10(length) - first) * (right - left) / (last - first), bottom - min(part, 1.05) * CURVES_HEIGHT

    parts = [text(24, top + 22, "P9  pool: how much of the CPUs' time goes into tasks, by their length", 15, INK, "start",
                  600)]
    parts += draw_axis(lambda length: place(length, 0)[0], range(first, last + 1), "us", y, bottom)
    for percent in range(0, 101, 25):
        line = place(1, percent / 100)[1]
        parts.append(f'<line x1="{left}" y1="{line:.1f}" x2="{right}" y2="{line:.1f}" stroke="{GRID}"/>')
        parts.append(text(left - 8, line + 4, f"{percent} %", 11, FAINT, "end"))
    x = 24
    for name, points in curves.items():
        words, colour, width, dashes = CURVES[name]
        stroke = f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes or "none"}"'
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" {stroke}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.8" fill="{colour}"/>'
                  for x, y in (place(*point) for point in points)]
        parts.append(f'<line x1="{x}" y1="{top + 45}" x2="{x + 22}" y2="{top + 45}" {stroke}/>')
        parts.append(text(x + 28, top + 49, words, 12.5, INK, "start", 600 if name.startswith("mproc") else 400))
        x += 46 + (7.6 if name.startswith("mproc") else 7.1) * len(words)
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


def draw(panels, curves):
    parts, top = draw_legend(), TOP
    if curves:
        more, top = draw_curves(curves, top)
        parts += more
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
        file.write(draw(read_panels(sys.argv[1]), read_curves(sys.argv[1])))


if __name__ == "__main__":
    main()
