"""The tables of a report as Markdown, CSV and LaTeX."""

import csv
import io
from collections import Counter
from collections.abc import Sequence

from evaluation.report.groups import Group, Pair, Row

CSV_COLUMNS = (
    "protocol", "scale", "noise", "kernels", "blur_kernel", "sample_mode", "method", "source", "run", "set", "psnr",
    "ssim", "psnr_difference", "ssim_difference",
)  # fmt: skip


DIFFERENCES = "In brackets: ours less CDSR as published."


def to_markdown(groups: Sequence[Group]) -> str:
    """One section a group."""
    return "\n\n".join(["# Results", DIFFERENCES, *map(to_section, groups)]) + "\n"


def to_section(group: Group, *, name_runs: bool = True) -> str:
    """The table of a group, ours in bold with the difference to the published CDSR, the notes and the kernels below.

    name_runs: say which run each of our rows is of, for a reader who does not know it.
    """
    lines = ["| method | " + " | ".join(group.sets) + " |", "|---" * (len(group.sets) + 1) + "|"]
    lines += [_markdown_row(group, row, name_runs) for row in group.rows]
    notes = [f"- {row.method}{_of(row.run, name_runs)}: {note}" for row in group.rows for note in row.notes]
    parts = [f"## {group.title}", group.caption, "\n".join(lines), "\n".join(notes), _kernels(group, name_runs)]
    return "\n\n".join(part for part in parts if part)


def _of(run: str, is_named: bool) -> str:
    return f" ({run})" if is_named else ""


def _markdown_row(group: Group, row: Row, name_runs: bool) -> str:
    cells = []
    for name in group.sets:
        difference = _signed(group.difference(row, name))
        cells.append(format_pair(row.values.get(name)) + (f" ({difference})" if difference else ""))
    method = f"**{row.method}**{_of(row.run, name_runs)}" if row.is_ours else row.method
    return "| " + " | ".join([method, *cells]) + " |"


def _kernels(group: Group, name_runs: bool) -> str:
    """Ours by kernel, one table a method."""
    if len(group.labels) < 2:
        return ""
    parts = []
    for (method, run), own in group.methods.items():
        lines = ["| kernel | " + " | ".join(one.set_name for one in own) + " |", "|---" * (len(own) + 1) + "|"]
        for label in group.labels:
            lines.append("| " + " | ".join([label, *(format_pair(one.pair(label)) for one in own)]) + " |")
        parts.append(f"{method}{_of(run, name_runs)} by kernel:\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def format_pair(pair: Pair | None) -> str:
    """As in "36.17 / 0.9428", dashes for what is missing."""
    psnr, ssim = pair or (None, None)
    return f"{'–' if psnr is None else f'{psnr:.2f}'} / {'–' if ssim is None else f'{ssim:.4f}'}"


def _signed(pair: Pair) -> str:
    psnr, ssim = pair
    if psnr is None and ssim is None:
        return ""
    return f"{'–' if psnr is None else f'{psnr:+.2f}'} / {'–' if ssim is None else f'{ssim:+.4f}'}"


def to_csv(groups: Sequence[Group]) -> str:
    """One line a method and set; `kernels` is their number, the name of one alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for group in groups:
        for row in group.rows:
            for name in group.sets:
                if name not in row.values:
                    continue
                source = "measured" if row.is_ours else "published"
                kernels = group.labels[0] if len(group.labels) == 1 else len(group.labels)
                what = [group.protocol, group.scale, f"{group.noise:g}", kernels, group.blur_kernel, group.sample_mode]
                values = [*row.values[name], *group.difference(row, name)]
                writer.writerow([*what, row.method, source, row.run, name, *values])
    return text.getvalue()


def to_latex(groups: Sequence[Group]) -> str:
    """One table a group, for the packages booktabs and xcolor; ours in bold, differences in green and red.

    Runs are named where they share a method.
    """
    return "% \\usepackage{booktabs,xcolor}\n" + "\n".join(_latex_table(group) for group in groups)


def _latex_table(group: Group) -> str:
    lines = [
        f"% {group.title.replace('×', 'x')}: {group.caption}",
        "\\begin{tabular}{l" + "c" * len(group.sets) + "}",
        "\\toprule",
        " & ".join(["Method", *map(_escape, group.sets)]) + " \\\\",
        "\\midrule",
    ]
    shared = Counter(row.method for row in group.rows if row.is_ours)
    for row in group.rows:
        cells = [f"\\textbf{{{_escape(row.method)}}}" if row.is_ours else _escape(row.method)]
        cells[0] += f" ({_escape(row.run)})" if row.is_ours and shared[row.method] > 1 else ""
        for name in group.sets:
            psnr, _ = group.difference(row, name)
            text = format_pair(row.values.get(name)).replace(" ", "").replace("–", "--")
            colour = "" if psnr is None else "green!50!black" if psnr >= 0 else "red!70!black"
            cells.append(text + (f" \\textcolor{{{colour}}}{{\\scriptsize ${psnr:+.2f}$}}" if colour else ""))
        lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _escape(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)
