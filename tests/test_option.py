"""The command line: the published commands, templates, and what is refused before any file is made."""

import pickle
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from data import build_degradation
from data.degradation import DegradationConfig, create_degradation
from model.variant import Variant
from option import Options, build_parser, parse_options
from recipes import RECIPES
from tests.support.refusals import refusal

ROOT = Path(__file__).parent.parent

PUBLISHED_TRAIN = (
    "--dir_data=/root/DF2k/HR --model=CDSR --scale=2 --blur_type=aniso_gaussian --noise=0 --sig_min=0.35 --sig_max=5 "
    "--batch_size=32 --save=cdsr --epochs_encoder=-1 --n_GPUs=1 --freeze_epoch 600 --sv_mode 0"
)
PUBLISHED_TEST = (
    "--dir_data=/root/DF2k/HR --model=CDSR --scale=2 --blur_type=aniso_gaussian --noise=0 "
    "--pre_train experiment/cdsr_x2_bicubic_aniso/model/model_492_psnr_36.17.pt --sv_mode 0 --n_GPUs=1"
)


def test_the_published_commands_parse() -> None:
    args = parse_options(PUBLISHED_TRAIN.split())
    assert (args.epochs_encoder, args.freeze_epoch, args.sig_max, args.batch_size) == (-1, 600, 5.0, 32)
    args = parse_options(PUBLISHED_TEST.split())
    assert args.pre_train.name == "model_492_psnr_36.17.pt"
    assert args.test_sets == ["Set5", "Set14", "B100", "Urban100"]


def test_every_option_is_read_somewhere() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in ROOT.rglob("*.py")
        if not {".venv", "tests", "experiment", "option.py", "recipes.py"} & set(path.relative_to(ROOT).parts)
    )
    sources += "".join(re.findall(r"self\.\w+", (ROOT / "option.py").read_text(encoding="utf-8")))
    names = {action.dest for action in build_parser()._actions} - {"help", "template"}
    names -= {field.name for field in fields(DegradationConfig)}  # all of them are read by build_degradation
    names -= set(Variant._fields)  # and these by build_model
    unread = {name for name in names if not re.search(rf"(args|self)\.{name}\b|\"{name}\"", sources)}
    assert not unread


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--blur_kernel 20", "--blur_kernel 20 is even"),
        ("--sig_min 3 --sig_max 1", "--sig_min 3.0 is above --sig_max 1.0"),
        ("--scale 5", r"5 is outside \[1, 4\]"),
        ("--scale 0", r"0 is outside \[1, 4\]"),
        ("--patch_size 5", r"5 is outside \[12"),
        ("--batch_size x", "'x' is no int"),
        ("--bach_size 4", "did you mean --batch_size"),
        ("--epoch_encoder=3", "did you mean --epochs_encoder"),
        ("--sig1 2", "--sig1 and --sig2 go together"),
        ("--degradation dasr --sv_mode 1", "no spatially variant"),
        ("--degradation dasr --sig1 1 --sig2 1", "dasr takes --lambda_1"),
        ("--resume -1 --reset", "give one of them"),
        ("--template paper_x2 --scale 4", "is for --scale 2; for --scale 4 there are: paper_x4, "),
        ("--template dasr_x3 --scale 1", "for --scale 1 there are: none"),
        ("--head --epochs_teacher 9 --epochs_sr 8", "above --epochs_sr 8"),
        ("--split_batch 9 --batch_size 8", "above --batch_size"),
        ("--decay_type sometimes", "--decay_type sometimes"),
        ("--decay_type time", "--time_limit: give it"),
        ("--template small_x2 --blur_type iso_gaussian --sig_max 3", "has the variances of anisotropic kernels"),
        ("--template fast_x2 --epochs_encoder 100", "no epoch for the joint phase, which --freeze_epoch 95 ends"),
        ("--epochs_encoder -2", "outside .-1"),
        ("--cuda_graph --cpu", "--cuda_graph is for one GPU"),
        ("--data_range 1-800", "two ranges"),
        ("--cpu --device cuda", "--cpu contradicts"),
        ("--n_GPUs 0 --device cuda", "--n_GPUs 0 contradicts"),
        ("--dir_demo a.png --protocol real", "--protocol is for test sets"),
        ("--embeddings --profile", "leave out --profile"),
        ("--embeddings --report", "leave out --report"),
        ("--embeddings --precision single", "leave out --precision"),
        ("--embeddings --backend torch", "leave out --backend"),
        ("--embeddings --tile 0", "leave out --tile"),
        ("--n_GPUs 2 --device cuda:1", "leave one of them out"),
        ("--n_GPUs 2 --dir_demo a.png", "--dir_demo takes one process"),
        ("--lr_sr 0", r"outside \(0"),
        ("--lr_sr inf", r"inf is outside \(0, inf\)"),
        ("--model CSDR", "'CDSR', 'CDSR_S', 'CDSR_S_oracle', .*'DASR', 'DASR_S', 'bicubic'"),
        ("--loss 1*L7", r"is not WEIGHT\*NAME"),
        ("--model CDSR_oracle --dir_demo a.png", "nobody knows that of your images"),
        ("--model CDSR_oracle --sv_mode 3", "spatially variant blur has many"),
        ("--model CDSR_oracle --protocol cdsr-sv", "spatially variant blur has many"),
        ("--model CDSR_oracle --self_ensemble", "leave it out"),
        ("--model CDSR_oracle --epochs_encoder 2", "has no encoder to train first"),
    ],
)
def test_what_cannot_be_meant_is_refused(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert re.search(message, refusal(capsys, line))


@pytest.mark.parametrize(
    "line",
    [
        "--template small_x2 --blur_type iso_gaussian --sig_min 0.2 --sig_max 3",
        "--template dasr_x2 --blur_type iso_gaussian",
        "--template paper_x2 --blur_type iso_gaussian",
        "--template fast_x2 --epochs_encoder 100 --freeze_epoch 95",
        "--model CDSR_S_oracle --freeze_epoch -1",
    ],
)
def test_what_can_be_meant_is_taken(line: str) -> None:
    parse_options(line.split())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_templates_parse_and_yield_to_the_user(name: str) -> None:
    recipe = RECIPES[name].options
    args = parse_options(["--template", name])
    assert all(getattr(args, key) == value for key, value in recipe.items())
    args = parse_options(["--template", name, "--batch_size", "7"])
    assert args.batch_size == 7
    assert args.scale == recipe["scale"]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_paper_recipes_scale_the_variances_and_have_the_widths_of_round_kernels(scale: int) -> None:
    words = ["--template", f"paper_x{scale}", "--blur_type"]
    variances = build_degradation(parse_options([*words, "aniso_gaussian"])).variance_range
    assert variances == pytest.approx((0.175 * scale, 2.5 * scale))
    assert build_degradation(parse_options([*words, "iso_gaussian"])).variance_range == (0.2**2, scale**2)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_dasr_s_recipes_are_the_published_ranges(scale: int) -> None:
    """No width given would be the same: the convention's own range."""
    config = {field.name for field in fields(DegradationConfig)}
    args = parse_options(["--template", f"dasr_x{scale}"])
    given = DegradationConfig(**{name: value for name, value in vars(args).items() if name in config})
    for options in (given, replace(given, sig_min=None, sig_max=None)):
        assert create_degradation(options).variance_range == (0.2**2, scale**2)
    assert (args.sample_mode, args.noise) == ("bicubic", 0)
    assert args.epochs_encoder + args.epochs_sr == 600 < args.freeze_epoch  # never frozen


def test_sampling_follows_the_convention() -> None:
    assert parse_options([]).sample_mode == "s-fold"
    assert parse_options(["--degradation", "dasr"]).sample_mode == "bicubic"
    assert parse_options(["--sample_mode", "bicubic"]).sample_mode == "bicubic"


def test_run_folders_are_the_published_ones() -> None:
    args = parse_options(["--save", "cdsr", "--scale", "2", "--blur_type", "aniso_gaussian"])
    assert args.run_folder == Path("experiment/cdsr_x2_s-fold_aniso")


def test_the_help_says_what_each_option_is_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(action.help for action in build_parser()._actions)
    with pytest.raises(SystemExit) as stop:
        parse_options(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "pairs of patches in a batch (default: 32)" in text
    assert text.count("auto (the best one present)") == 1 and "None" not in text


def test_every_option_is_documented() -> None:
    """In README or docs, or it goes."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    flags = [flag for action in build_parser()._actions for flag in action.option_strings[:1] if flag != "-h"]
    assert not [flag for flag in flags if not re.search(rf"{flag}\b", pages)]


def test_options_are_frozen_and_copied_with_changes() -> None:
    args = parse_options(["--batch_size", "7"])
    with pytest.raises(AttributeError, match="replace"):
        args.batch_size = 8
    changed = args.replace(batch_size=8)
    assert (args.batch_size, changed.batch_size, changed.scale) == (7, 8, args.scale)
    with pytest.raises(AssertionError):
        args.replace(bach_size=8)
    assert "batch_size 8" in str(changed) and "scale" not in str(changed)


def test_what_the_user_typed_is_known_whatever_its_value() -> None:
    args = parse_options(["--template", "small_x2", "--strength", "1", "--dir_demo", "a.png"])
    assert args.given == {"template", "strength", "dir_demo"} == args.replace(tile=0, precision="bf16").given
    again = pickle.loads(pickle.dumps(args))
    assert again.given == args.given and vars(again) == vars(args)


def test_every_recipe_says_where_it_comes_from() -> None:
    assert all(recipe.source.endswith(".") for recipe in RECIPES.values())
    known = vars(Options(**vars(build_parser().parse_args([]))))
    assert all(recipe.options.keys() <= known.keys() for recipe in RECIPES.values())
