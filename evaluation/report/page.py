"""The page of a report: one file without any other, filled into template.html."""

import html
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from evaluation.plots import curves
from evaluation.report.comparisons import comparisons, data_uri
from evaluation.report.groups import Evaluation, Group, Row
from evaluation.report.tables import figures, kernel_pair

TEMPLATE = Path(__file__).with_name("template.html")


def to_html(groups: Sequence[Group], runs: Sequence[Path]) -> str:
    """Fill the template: tables, kernels, images, curves, encoder, settings; a part without content is left out."""
    folders = list(dict.fromkeys(one.path.parent for group in groups for one in group.evaluations))
    sections = {
        "Results": "".join(_table(group) for group in groups),
        "By kernel": _kernels(groups),
        "Images": comparisons(folders),
        "Training": _training([*runs, *(folder.parent for folder in folders)]),
        "What the encoder learnt": _encoder(folders),
        "What was measured": "".join(_settings(one) for group in groups for one in group.evaluations),
    }
    kept = {title: body for title, body in sections.items() if body}
    links = "".join(f'<a href="#{_anchor(title)}">{title}</a>' for title in kept)
    body = "".join(f'<section id="{_anchor(title)}"><h2>{title}</h2>{text}</section>' for title, text in kept.items())
    names = ", ".join(dict.fromkeys(one.run for group in groups for one in group.evaluations))
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, value in (("TITLE", html.escape(names)), ("LINKS", links), ("BODY", body)):
        page = page.replace(f"<!--{name}-->", value)
    return page


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _wrap(head: Sequence[str], rows: Sequence[str]) -> str:
    columns = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    return f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _table(group: Group) -> str:
    rows = [_row(group, row) for row in group.rows]
    notes = "".join(
        f"<li>{html.escape(f'{row.method} ({row.run}): {note}')}</li>" for row in group.rows for note in row.notes
    )
    caption = "PSNR (dB) / SSIM on Y."
    if group.reference:
        caption += " Printed rows as in the CDSR paper; below ours, the difference to CDSR as printed."
    return f'<h3>{html.escape(group.title)}</h3><p class="soft">{caption}</p>{_wrap(["method", *group.sets], rows)}' + (
        f'<ul class="notes">{notes}</ul>' if notes else ""
    )


def _row(group: Group, row: Row) -> str:
    cells = "".join(
        f"<td>{figures(row.values[name]) if name in row.values else '–'}{_difference(group, row, name)}</td>"
        for name in group.sets
    )
    run = f'<span class="soft">{html.escape(row.run)}</span>' if row.is_ours else '<span class="soft">printed</span>'
    kind = "ours" if row.is_ours else "printed"
    return f'<tr class="{kind}"><th scope="row">{html.escape(row.method)} {run}</th>{cells}</tr>'


def _difference(group: Group, row: Row, test_set: str) -> str:
    parts = []
    for value, decimals in zip(group.difference(row, test_set), (2, 4), strict=True):
        if value is not None:
            kind = "up" if value >= 0 else "down"
            parts.append(f'<span class="{kind}">{value:+.{decimals}f}</span>'.replace("-", "−", 1))
    return f'<div class="difference">{" / ".join(parts)}</div>' if parts else ""


def _kernels(groups: Sequence[Group]) -> str:
    """PSNR and SSIM by kernel, with a bar from the hardest to the easiest kernel of the column."""
    parts = [_kernel_table(group, *row) for group in groups if len(group.labels) > 1 for row in _ours(group)]
    note = '<p class="soft">Bars: PSNR between the hardest and the easiest kernel of the column.</p>'
    return note + "".join(parts) if parts else ""


def _ours(group: Group) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.method, one.run) for one in group.evaluations))


def _kernel_table(group: Group, method: str, run: str) -> str:
    own = [one for one in group.evaluations if (one.method, one.run) == (method, run)]
    own.sort(key=lambda one: group.sets.index(one.set_name))
    rows = []
    for label in group.labels:
        cells = "".join(_kernel_cell(one, label, group.labels) for one in own)
        rows.append(f'<tr><th scope="row">{html.escape(label)}</th>{cells}</tr>')
    title = html.escape(f"{method} ({run}): {group.title}")
    return f"<h3>{title}</h3>{_wrap(['kernel', *(one.set_name for one in own)], rows)}"


def _kernel_cell(one: Evaluation, label: str, labels: Sequence[str]) -> str:
    column = [psnr for psnr in (kernel_pair(one.content, name)[0] for name in labels) if psnr is not None]
    pair = kernel_pair(one.content, label)
    share = 0.0
    if pair[0] is not None and len(set(column)) > 1:
        share = 100 * (pair[0] - min(column)) / (max(column) - min(column))
    return f'<td class="bar" style="--share:{share:.1f}%">{figures(pair)}</td>'


def _training(folders: Sequence[Path]) -> str:
    """Curves of the runs that have metrics.jsonl."""
    parts = []
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        path = folder / "metrics.jsonl"
        if not path.is_file():
            continue
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        with tempfile.TemporaryDirectory() as temporary:
            target = Path(temporary) / "curves.png"
            try:
                curves(rows, target)
            except ValueError:  # nothing to draw yet
                continue
            uri = data_uri(target.read_bytes(), "png")
        name = html.escape(folder.name)
        parts.append(f'<h3>{name}</h3><img class="figure" src="{uri}" alt="Losses and validation of {name}">')
    return "".join(parts)


def _encoder(folders: Sequence[Path]) -> str:
    """The maps of the codes and the two probes, as `test.py --embeddings` wrote them."""
    parts = []
    for path in (path for folder in folders for path in sorted(folder.glob("embeddings_*.json"))):
        image = path.with_suffix(".png")
        if not image.is_file():
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = "".join(
            f'<tr><th scope="row">{name}</th><td>{_percent(probe["accuracy"])}</td><td>{_percent(probe["chance"])}</td>'
            f"<td>{probe['num_classes']}</td><td>{html.escape(probe['held_out'])}</td></tr>"
            for name, probe in content["probes"].items()
        )
        head = ["linear probe for the", "accuracy", "guessing", "classes", "tested on unseen"]
        uri = data_uri(image.read_bytes(), "png")
        title = html.escape(path.stem.removeprefix("embeddings_"))
        warning = "<p>All codes are equal: the encoder has collapsed.</p>" if content["collapsed"] else ""
        parts.append(
            f"<h3>{title}</h3>{warning}{_wrap(head, [rows])}"
            f'<img class="figure" src="{uri}" alt="Codes of the encoder by PCA and t-SNE, {title}">'
        )
    return "".join(parts)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _settings(one: Evaluation) -> str:
    """Everything the file says but the rows, folded."""
    content = {name: value for name, value in one.content.items() if name != "by_kernel"}
    text = html.escape(json.dumps(content, indent=2, ensure_ascii=False))
    title = html.escape(f"{one.method} on {one.set_name} ({one.path.name})")
    return f"<details><summary>{title}</summary><pre>{text}</pre></details>"
