"""The report: tables against the published results, and the page."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluation.report import write_report
from evaluation.report.__main__ import main as report
from evaluation.report.groups import read_groups
from evaluation.report.published_results import published_rows
from evaluation.report.showcase import NUM_BEST, choose, read_showcase
from evaluation.results import Result, read_rows
from tests.support.reports import make_report, write_result


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "my_run"
    write_result(folder / "results", "Set5", 36.27, warnings=["trained for something else"])
    write_result(folder / "results", "Set14", 32.04)
    write_result(folder / "results", "Set5", 35.0, labels=["k0"])
    (folder / "results" / "other.json").write_text('{"not": "a result"}')
    return folder


def test_published_results_are_those_of_the_paper() -> None:
    rows = published_rows("cdsr", 2, 0.0)
    assert list(rows) == ["DASR", "IKC", "MANet", "CDSR"]
    assert rows["CDSR"]["Set5"] == (36.17, 0.9428)
    assert rows["MANet"]["Urban100"] == (29.61, 0.8880)
    assert published_rows("cdsr", 4, 15.0)["IKC"]["B100"] == (25.15, 0.6236)
    assert not published_rows("cdsr", 2, 15.0)
    assert not published_rows("dasr-iso", 2, 0.0)


def test_tables_have_our_row_below_the_published_ones_with_differences(run: Path) -> None:
    page = write_report([run], run / "results")
    text = (run / "results" / "report.md").read_text()
    assert "| CDSR | 36.17 / 0.9428 | 32.14 / 0.8841 |" in text
    assert "| **CDSR_S** (my_run) | 36.27 / 0.9500 (+0.10 / +0.0072) | 32.04 / 0.9500 (-0.10 / +0.0659) |" in text
    assert "- CDSR_S (my_run): trained for something else" in text
    assert "| k3 | 36.27 / 0.9500 | 32.04 / 0.9500 |" in text
    # One kernel of nine does not compare with print.
    alone = text.split("(kernel k0)")[1].split("##")[0]
    assert "35.00 / 0.9500" in alone
    assert "DASR" not in alone
    rows = list(csv.DictReader((run / "results" / "report.csv").open()))
    ours = next(row for row in rows if row["source"] == "measured" and row["set"] == "Set14" and row["kernels"] == "9")
    assert float(ours["psnr_difference"]) == pytest.approx(-0.10)
    assert sum(row["source"] == "published" for row in rows) == 8
    latex = (run / "results" / "report.tex").read_text()
    assert r"\textbf{CDSR\_S} & 36.27/0.9500 \textcolor{green!50!black}{\scriptsize $+0.10$}" in latex
    assert all("single precision (float32)" in table for table in (text, latex, page.read_text()))
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 2
    html = page.read_text()
    assert '<span class="up">+0.10</span>' in html
    assert '<span class="down">−0.10</span>' in html


def test_the_command_takes_runs_folders_and_files(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([str(run), "--out", str(tmp_path / "out")]) == 0
    assert "36.27 / 0.9500" in capsys.readouterr().out
    assert len(read_groups([run])) == 2
    assert len(read_groups([run, run / "results"])[0].evaluations) == len(read_groups([run])[0].evaluations)
    assert len(read_groups([run / "results" / "Set14_9.json"])) == 1
    with pytest.raises(SystemExit):
        report([str(tmp_path / "nowhere")])
    assert "no results in" in capsys.readouterr().err


def test_the_showcase_holds_the_best_images_and_the_worst_of_each_kernel() -> None:
    rows = [
        Result(f"p{n}", test_kernel, {"psnr": -1 if (n, test_kernel) == (20, "c") else n + shift})
        for n in range(30)
        for test_kernel, shift in (("a", 0), ("b", 0.4), ("c", 2))
    ]
    chosen = choose({"Set": [*rows, Result("bad", "a", error="truncated")]})
    best = [row for group, _, row in chosen if group == "best"]
    assert [row.image for row in best] == [f"p{n}" for n in range(29, 29 - NUM_BEST - 1, -1) if n != 20]
    assert {row.kernel for row in best} == {"b"}  # nearest to the image's mean
    worst = [(row.kernel, row.image) for group, _, row in chosen if group == "worst"]
    assert worst == [
        *(("a", f"p{n}") for n in (0, 1, 2)),
        *(("b", f"p{n}") for n in (0, 1, 2)),
        *(("c", f"p{n}") for n in (20, 0, 1)),
    ]


def test_the_showcase_of_a_single_kernel_shows_ten_and_no_row_twice() -> None:
    chosen = choose({"Set": [Result(f"p{n}", "a", {"psnr": n}) for n in range(30)]})
    assert [row.image for group, _, row in chosen if group == "worst"] == [f"p{n}" for n in range(10)]
    few = choose({"Set": [Result(f"p{n}", "a", {"psnr": n}) for n in range(3)]})
    assert [row.image for _, _, row in few] == ["p2", "p1", "p0"]


class Page(HTMLParser):
    """Collects ids, sources and links, and whether tags are closed."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.links += [values[name] for name in ("src", "href") if name in values]
        self.ids |= {values["id"]} if "id" in values else set()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_other_file(tmp_path: Path) -> None:
    path = make_report(tmp_path)
    text = path.read_text()
    page = Page(text)
    assert not page.open
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert not re.search(r"https?://|<link|@import|url\(", text)
    assert page.ids >= {
        "results", "by-kernel", "images", "training", "what-the-encoder-learnt", "what-was-measured",
    }  # fmt: skip
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert text.count('class="compare"') == 19  # the two best, and two more under each kernel where so many are left
    _, shown = read_showcase(path.parent / "showcase_x2_cdsr_noise0_bicubic")
    assert {entry.group for entry in shown} == {"best", "worst"}


def test_images_and_codes_of_other_weights_than_the_rows_are_left_out(tmp_path: Path) -> None:
    folder = make_report(tmp_path).parent
    result = next(folder.glob("Tiny_*.json"))
    content = json.loads(result.read_text())
    result.write_text(json.dumps({**content, "checkpoint": {**content["checkpoint"], "file": "a.pt", "sha256": "1"}}))
    ids = Page(write_report([folder], folder).read_text()).ids
    assert "results" in ids and not ids & {"images", "what-the-encoder-learnt"}


@pytest.mark.parametrize(("protocol", "name"), [("cdsr", "bicubic"), ("dasr-iso", "bicubic_matlab")])
def test_images_stand_beside_the_bicubic_of_the_protocol(tmp_path: Path, protocol: str, name: str) -> None:
    folder = make_report(tmp_path, "--protocol", protocol).parent
    rows = {(row.image, row.kernel): row.psnr for row in read_rows(next(folder.glob("Tiny_*.csv")))}
    _, shown = read_showcase(folder / f"showcase_x2_{protocol}_noise0_{name}")
    for entry in shown:
        assert entry.bicubic == pytest.approx(rows[entry.image, entry.kernel])


def test_what_the_codes_say_of_strengths_is_shown(tmp_path: Path) -> None:
    folder = make_report(tmp_path).parent
    before = write_report([folder], folder).read_text()
    figure = (folder / "embeddings_x2.png").read_bytes()
    (folder / "embeddings_x2_strengths.png").write_bytes(figure)
    after = write_report([folder], folder).read_text()
    assert after.count("<img") == before.count("<img") + 1 and "Read and true strengths" in after


def test_a_report_without_ssim_has_none(tmp_path: Path) -> None:
    text = make_report(tmp_path, "--metrics", "psnr").read_text()
    captions = re.findall(r"<div>([0-9.]+) dB(.*?)<span", text)
    assert len(captions) == 19  # the two best, and two more under each kernel where so many are left
    assert all(rest.strip() == "" for _, rest in captions)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name, psnr in (("p", 36.0), ("q", 35.0)):
        write_result(tmp_path / name / "out", "Set5", psnr)
    (group,) = read_groups([tmp_path / "p" / "out", tmp_path / "q" / "out"])
    ours = {row.run: row.values["Set5"][0] for row in group.rows if row.is_ours}
    assert ours == {str(tmp_path / "p" / "out"): 36.0, str(tmp_path / "q" / "out"): 35.0}


def test_what_does_not_compare_is_in_tables_of_its_own(tmp_path: Path) -> None:
    for name, changes in (("p", {}), ("q", {"sample_mode": "bicubic"}), ("r", {"blur_kernel": 15})):
        write_result(tmp_path / name, "Set5", 36.0, labels=["k0"], protocol={"protocol": "cdsr-kernel", **changes})
    groups = read_groups([tmp_path / name for name in "pqr"])
    assert [len(group.evaluations) for group in groups] == [1, 1, 1]
    assert [group.title.partition("(")[2] for group in groups] == [
        "kernel k0 of 15×15, s-fold)",
        "kernel k0 of 21×21, bicubic)",
        "kernel k0 of 21×21, s-fold)",
    ]


def test_a_row_is_of_one_checkpoint(tmp_path: Path) -> None:
    for test_set, psnr, digest in (("Set5", 36.0, "1" * 64), ("Set14", 32.0, "2" * 64), ("B100", 31.0, "2" * 64)):
        checkpoint = {"model": "CDSR_S", "file": "model_2.pt", "sha256": digest}
        write_result(tmp_path / "p", test_set, psnr, checkpoint=checkpoint)
    (group,) = read_groups([tmp_path / "p"])
    ours = {row.run: {name: pair[0] for name, pair in row.values.items()} for row in group.rows if row.is_ours}
    assert ours == {
        "p, model_2.pt 11111111": {"Set5": 36.0},
        "p, model_2.pt 22222222": {"Set14": 32.0, "B100": 31.0},
    }


def test_a_row_says_what_its_network_ran_in(tmp_path: Path) -> None:
    marks = {"half": {"precision": "half"}, "tiles of 64": {"tile": 64}, "tiles of auto size": {"tile": "auto"}}
    for number, settings in enumerate((*marks.values(), {"tile": None})):
        write_result(tmp_path / str(number), "Set5", 36.0, **settings)
    (group,) = read_groups([tmp_path / str(number) for number in range(4)])
    methods = [row.method for row in group.rows if row.is_ours]
    assert methods == [*(f"CDSR_S ({mark})" for mark in marks), "CDSR_S"]


def test_rows_of_other_images_are_noted(tmp_path: Path) -> None:
    for name, images in (("p", {"images": "a, b"}), ("q", {"images": "a, c"}), ("r", {})):
        write_result(tmp_path / name, "Set5", 36.0, **images)
        write_result(tmp_path / name, "Other", 36.0, **images)
        write_result(tmp_path / name, "Set14", 32.0, images="a, b")
    few = {"Set5: 1 images instead of 5", "Set14: 1 images instead of 14"}
    mixed = {f"{name}: the rows here are not all of the same images" for name in ("Set5", "Other")}
    (group,) = read_groups([tmp_path / name for name in "pqr"])
    assert [{*row.notes} for row in group.rows if row.is_ours] == [few | mixed] * 3
    (group,) = read_groups([tmp_path / name for name in "pr"])
    assert [{*row.notes} for row in group.rows if row.is_ours] == [few] * 2


def test_images_codes_and_rows_say_of_which_run_they_are(tmp_path: Path) -> None:
    runs = [make_report(tmp_path / name, "--sig", "1").parent.parent.rename(tmp_path / name / name) for name in "pq"]
    html = write_report(runs, tmp_path / "out").read_text()
    titles = re.findall("<h3>(.*?)</h3>", html)
    stem = "x2_cdsr_1.0_1.0_0.0_noise0_bicubic"
    for name in "pq":
        assert {f"{stem} ({name}): highest mean PSNR", name, f"x2 ({name})"} <= {*titles}
        assert f"<summary>bicubic on Tiny ({name}, Tiny_{stem}.json)</summary>" in html
        assert f"\\textbf{{bicubic}} ({name}) & " in (tmp_path / "out" / "report.tex").read_text()
    assert len(titles) == len(set(titles))


def test_training_of_runs_of_one_name_is_told_apart(tmp_path: Path) -> None:
    runs = [make_report(tmp_path / name, "--sig", "1").parent.parent for name in "pq"]
    html = write_report(runs, tmp_path / "out").read_text()
    for run in runs:
        assert f'alt="Losses and validation of {run}"' in html


def test_kernels_alone_are_told_apart_in_the_csv_file(tmp_path: Path) -> None:
    for number, label in enumerate(("k0", "k1")):
        write_result(tmp_path / str(number), "Set5", 35.0 + number, labels=[label])
    write_report([tmp_path / "0", tmp_path / "1"], tmp_path)
    rows = csv.DictReader((tmp_path / "report.csv").open())
    assert [(row["kernels"], row["psnr"]) for row in rows] == [("k0", "35.0"), ("k1", "36.0")]
