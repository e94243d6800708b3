# SPDX-License-Identifier: MIT
"""Results as a picture: for each workload, how many times Poise's CPU time the others need.

    chart.py RESULTS.json CHART.svg
"""

import json
import sys
from html import escape
from pathlib import Path

LEFT, WIDE, BAR, GAP, TOP = 250, 880, 13, 16, 64
COLOURS = {  # light, dark
    "poise": ("#0b6e4f", "#3ecf9b"),
    "nginx": ("#3b6fb5", "#7aa9e6"),
    "haproxy": ("#b5642c", "#e6a06b"),
    "relay": ("#8a8a8a", "#9a9a9a"),
}


def style():
    light = "".join(f".{n}{{fill:{c[0]}}}" for n, c in COLOURS.items())
    dark = "".join(f".{n}{{fill:{c[1]}}}" for n, c in COLOURS.items())
    return (
        "text{font:12px system-ui,sans-serif;fill:#222}.title{font-size:15px;font-weight:600}"
        ".small{fill:#555}.ground{fill:#fff}.line{stroke:#888;stroke-dasharray:3 3}.range{stroke:#000}" + light
        + "@media(prefers-color-scheme:dark){text{fill:#e6e6e6}.small{fill:#aaa}.ground{fill:#15181c}.range{stroke:#fff}"
        + dark + "}"
    )  # fmt: skip


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def bars(rows, y, scale):
    """The bars of one workload, each with its figure and its 95 % interval as a line."""
    out = []
    for label, row in rows.items():
        ratio, low, high = row["ratio"]
        middle = y + BAR / 2
        out.append(
            f'<rect x="{LEFT}" y="{y}" width="{ratio * scale:.1f}" height="{BAR - 2}" class="{label}"/>'
            f'<path d="M{LEFT + low * scale:.1f} {middle - 1}H{LEFT + high * scale:.1f}" class="range"/>'
        )
        words = f"{ratio:.2f}  ({row['us']:.1f} µs)"
        out.append(text(LEFT + max(ratio, high) * scale + 6, y + BAR - 3, words, "small"))
        y += BAR
    return out, y


def chart(results):
    workloads = results["workloads"]
    most = max(r["ratio"][2] for rows in workloads.values() for r in rows.values())
    scale = (WIDE - LEFT - 130) / most
    y, out = TOP, []
    for name, rows in workloads.items():
        out.append(text(LEFT - 8, y + len(rows) * BAR / 2 + 3, name, anchor="end"))
        drawn, y = bars(rows, y, scale)
        out += drawn
        y += GAP
    versions = ", ".join(f"{n} {v}" for n, v in results["versions"].items())
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {y + 20}" role="img">',
        f"<title>CPU time per request as a multiple of Poise's</title><style>{style()}</style>",
        f'<rect width="{WIDE}" height="{y + 20}" class="ground"/>',
        text(12, 22, "CPU time per request, as a multiple of Poise's (less is better)", "title"),
        f'<path d="M{LEFT + scale:.1f} {TOP - 6}V{y}" class="line"/>',
    ]
    x = 12
    for label in dict.fromkeys(l for rows in workloads.values() for l in rows):
        head.append(f'<rect x="{x}" y="34" width="12" height="12" class="{label}"/>' + text(x + 17, 44, label))
        x += 90
    foot = f"{versions}; one worker; median of {results['rounds']} rounds; Linux {results['machine']}"
    return "\n".join([*head, *out, text(12, y + 8, foot, "small"), "</svg>"]) + "\n"


def write_chart(results, path):
    if results.get("workloads"):
        Path(path).write_text("<!-- SPDX-License-Identifier: MIT -->\n" + chart(results))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write_chart(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
