"""Pages of `sernet inspect`: what one picture stirs in a network, and what a split says of its parts."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

from sernet_core.frame_scores import iou_of, mean_iou
from sernet_core.inspection.probe import STAGES
from sernet_core.inspection.relation import Relation
from sernet_core.report.charts import cloud_chart
from sernet_core.report.parts import cards_section, document, number

Figures = Mapping[str, Any]
_SHEETS = {
    "frame": ("What it sees", ""),
    "gates": (
        "What the five gates add",
        "Energy is the root mean square over the channels of what the gate adds at that place. Activity: the "
        "root mean square of what the gate adds, in percent of that of what its module gives. Where the "
        "gain is near 0, the module has stayed the plain residual block.",
    ),
    "features": (
        "Before and after DbN, AfN1 and AfN2",
        "Main directions: the three in which the features vary most, as red, green and blue. Before "
        "and after an AfN share them, so that equal colours are equal features; DbN's output has "
        "channels of its own.",
    ),
}  # fmt: skip


def image_page(
    facts: Mapping[str, str], gates: Mapping[str, tuple[float, float]], sheets: Mapping[str, bytes]
) -> str:
    """Page of one picture.

    Args:
        facts: model, picture, size (of what the network sees), created and notice.
        gates: Gain and activity in percent of each gate.
        sheets: PNG by name: frame, gates, features.
    """
    cards = [
        (f"{name}, {stage}", number(share, 1), "%", f"gain {gain:+.3f}")
        for (name, (gain, share)), stage in zip(gates.items(), STAGES, strict=False)
    ]
    head = (
        f'<header><p class="kicker">Inside the network &middot; {escape(facts["created"])}</p>'
        f"<h1>{escape(facts['model'])} <small>looks at {escape(facts['picture'])}</small></h1>"
        f"<p>The network sees {escape(facts['size'])}. Below: how much of what each attention-boosting "
        "module gives comes from its gate.</p></header>"
    )
    sections = [head, cards_section(cards) if cards else ""]
    for name, data in sheets.items():
        title, note = _SHEETS[name]
        encoded = base64.b64encode(data).decode("ascii")
        sections.append(
            f'<section><h2>{title}</h2><figure><img alt="{title}" src="data:image/png;base64,{encoded}">'
            + (f"<figcaption>{note}</figcaption>" if note else "")
            + "</figure></section>"
        )
    sections.append(_notice(facts["notice"]))
    return document(f"{facts['model']} looks at {facts['picture']}", sections)


def split_page(figures: Figures, relation: Relation) -> str:
    """Page of a split.

    Args:
        figures: What inspect.json holds.
        relation: The frames behind it, for the charts.
    """
    frames = figures["frames"]
    taken = "" if figures["every"] == 1 else f", one in {figures['every']}"
    head = (
        f'<header><p class="kicker">Inside the network &middot; {escape(figures["created"])}</p>'
        f"<h1>{escape(figures['model'])} <small>on {escape(figures['dataset'])}</small></h1>"
        f"<p>{frames} frames{taken}, mIoU {number(figures['miou'], 2)} %. Intervals hold a figure in 95 % of "
        f"4000 draws of stretches of {figures['frames_together']} of these frames.</p></header>"
    )
    sections = [head, _gates(figures), _clouds(relation), _parts(figures), _notice(figures["notice"])]
    return document(f"Inside {figures['model']} on {figures['dataset']}", sections)


def _gates(figures: Figures) -> str:
    if not figures["gates"]:
        return '<section><p class="note">This network has no attention-boosting modules.</p></section>'
    rows = ""
    for (name, gate), stage in zip(figures["gates"].items(), STAGES, strict=True):
        spread = gate["activity"]
        rows += (
            f"<tr><th>{name}, {stage}</th><td>{gate['gain']:+.3f}</td><td>{number(spread['median'], 1)} "
            f"({number(spread['min'], 1)} to {number(spread['max'], 1)})</td>"
            f"<td>{_verdict(gate['with_miou'], 0.0, ('rises with quality', 'falls with quality'))}</td>"
            f"<td>{_verdict(gate['wrong_over_right'], 1.0, ('stronger where wrong', 'weaker where wrong'))}"
            "</td></tr>"
        )
    return (
        '<section><h2>Do the gates follow the quality of the mask?</h2><div class="wide"><table><tr><th></th>'
        "<th>gain</th><th>activity, % (range)</th>"
        "<th>rank correlation of activity and mIoU over the frames</th>"
        f"<th>energy where the mask is wrong over where it is right</th></tr>{rows}</table></div>"
        '<p class="note">Activity: the root mean square of what the gate adds, in percent of that of what '
        "its module gives. An interval on one side of 0 (or of 1) says which way; one across it says "
        "nothing. A relation is no cause: what is hard to label may stir a gate by itself.</p></section>"
    )


def _verdict(one: Figures, even: float, words: tuple[str, str]) -> str:
    if one["value"] is None or one["low"] is None:
        return "&ndash;"
    text = f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
    if one["low"] > even:
        return f"{text}: {words[0]}"
    return f"{text}: {words[1]}" if one["high"] < even else f"{text}: not shown"


def _clouds(relation: Relation) -> str:
    quality = [mean_iou(iou_of(one)) for one in relation.counts]
    figures = ""
    for (name, activity), stage in zip(relation.activity.items(), STAGES, strict=False):
        points = [(x, y) for x, y in zip(activity, quality, strict=True) if y is not None]
        chart = cloud_chart(
            points, x_label=f"activity of {name} ({stage}), %", y_label="mIoU of the frame, %"
        )
        figures += f"<figure>{chart}</figure>"
    if not figures:
        return ""
    return (
        "<section><h2>Frame by frame <small>each dot is a frame, darker ones are later</small></h2>"
        f'<div class="pair">{figures}</div></section>'
    )


def _parts(figures: Figures) -> str:
    if not figures["without"]:
        return ""
    rows = ""
    for part, one in figures["without"].items():
        change = one["change"]
        order = sorted(
            ((name, value) for name, value in one["by_class"].items() if value is not None),
            key=lambda item: item[1],
        )
        most = ", ".join(f"{escape(name)} {value:+.1f}" for name, value in order[:3])
        rows += (
            f"<tr><th>without {part}</th><td>{number(one['miou'], 2)}</td><td>{change['value']:+.2f} "
            f"({change['low']:+.2f} to {change['high']:+.2f})</td><td>{most}</td></tr>"
        )
    return (
        "<section><h2>What the trained network loses without a part</h2><table><tr><th></th><th>mIoU, %</th>"
        f"<th>change</th><th>classes that lose most</th></tr>{rows}</table>"
        '<p class="note">The part is switched off in the network as it was trained: gates add nothing, DbN '
        "and the AfN give their projection alone. That shows how far this network leans on the part. "
        "It does not show how good a network would be that was trained without it: that takes a training run."
        "</p></section>"
    )


def _notice(words: str) -> str:
    return f'<p class="notice">{escape(words)}</p>' if words else ""
