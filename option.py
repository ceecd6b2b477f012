"""Every option of `main.py` and `test.py`, in groups, with types, ranges, defaults and units.

They share this parser. The options are checked before any file is made and come back frozen: what depends on the
machine or on the weights is resolved into a changed copy (`Options.replace`), which each run prints and saves.
"""

import argparse
import difflib
import functools
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from data import build_degradation
from data.data_range import parse_range
from data.degradation import BLUR_TYPES, DEGRADATIONS, SAMPLE_MODES, SCALES, SV_MODES
from data.protocols import PROTOCOLS
from data.sources import DATA_SET
from data.test_sets import TEST_SETS
from evaluation.metrics import METRICS
from inference.backend import BACKENDS
from inference.tiles import MIN_TILE
from loss import parse_loss
from model import MODELS, network_of, usual_variant
from model.moco import MOMENTUM, NEGATIVES, QUEUE_SIZE, TEMPERATURE
from model.variant import LPE_KINDS
from recipes import RECIPES
from training.optimizers import OPTIMIZERS
from training.schedule import DECAY_TYPES
from training.step import StepConfig
from utils.device import PRECISIONS
from utils.image import FILE_FORMATS
from utils.run import EXPERIMENT

TEST_SETS_ALONE = ("protocol", "test_path", "test_sets", "metrics", "profile", "report", "embeddings")
"""Options of test sets, which `--dir_demo` does not read."""

OWN_IMAGES = ("strength", "format", "quality", "suffix", "bits", "overwrite", "max_megapixels")
"""Options that `--dir_demo` alone reads."""

OF_UPSCALING = ("metrics", "profile", "report", "save_results", "self_ensemble", "precision", "backend", "tile")
"""Options of test sets that `--embeddings` does not read."""

DEFAULT = "default: %(default)s"

FORMATS = ("auto", *(kind.suffixes[0].removeprefix(".") for kind in FILE_FORMATS))


class Options(argparse.Namespace):
    """Options by name; read only. `given` names those of the command line, whatever their values."""

    __slots__ = ("given",)  # an attribute that `vars` leaves out
    given: frozenset[str]

    def __init__(self, given: frozenset[str] = frozenset(), **values: Any) -> None:
        object.__setattr__(self, "given", given)
        vars(self).update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse: `replace` makes a changed copy."""
        raise AttributeError(f"options are frozen: use replace({name}=...)")

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are made anew, since nothing may be set."""
        return functools.partial(Options, self.given, **vars(self)), ()

    def replace(self, **changes: Any) -> "Options":
        """Copy with some options changed."""
        unknown = changes.keys() - vars(self).keys()
        assert not unknown, unknown
        return Options(self.given, **vars(self) | changes)

    @property
    def run_folder(self) -> Path:
        """Folder of the run, named as the published code does: NAME_xS_MODE_BLUR."""
        return EXPERIMENT / f"{self.save}_x{self.scale}_{self.sample_mode}_{self.blur_type.removesuffix('_gaussian')}"

    @property
    def names_kernel(self) -> bool:
        """Whether they name the one kernel of a test."""
        flags = {flag for kind in DEGRADATIONS.values() for flags in kind.kernel_flags for flag in flags}
        return any(getattr(self, flag) is not None for flag in flags)

    def __str__(self) -> str:
        """Those that differ from the parser's defaults, by name and value."""
        usual = build_parser().get_default
        return ", ".join(f"{name} {value}" for name, value in vars(self).items() if value != usual(name))


class HelpWithDefaults(argparse.HelpFormatter):
    """Help that says the defaults, but where the words do so or there is none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        is_told = "default" in text or action.default == argparse.SUPPRESS or isinstance(action.default, bool)
        return text if is_told or not isinstance(action.default, int | float | str | Path) else f"{text} ({DEFAULT})"


class OptionParser(argparse.ArgumentParser):
    """An argument parser that names the nearest flag when one is not known."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one message, with a suggestion for each unknown flag."""
        unknown = re.match(r"unrecognized arguments: (.*)", message)
        if unknown:
            known = [flag for action in self._actions for flag in action.option_strings]
            for word in unknown[1].split():
                near = difflib.get_close_matches(word.split("=")[0], known, n=1)
                if near:
                    message += f"; did you mean {near[0]}?"
        super().error(message)


def number(
    kind: Callable[[str], float], *, low: float = -math.inf, high: float = math.inf, open_low: bool = False
) -> Callable[[str], float]:
    """Make a type for argparse: an int or a float in [low, high], or in (low, high]."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind.__name__}") from None
        if not (low <= value <= high) or not math.isfinite(value) or (open_low and value == low):
            bracket = "(" if open_low else "["
            end = ")" if high == math.inf else "]"
            raise argparse.ArgumentTypeError(f"{text} is outside {bracket}{low:g}, {high:g}{end}")
        return value

    return parse


count = number(int, low=1)
non_negative = number(float, low=0)
positive = number(float, low=0, open_low=True)


def tile(text: str) -> int | str:
    """Read the side of a tile: auto, 0 or a number that leaves room for an overlap."""
    if text == "auto":
        return text
    side = int(number(int, low=0)(text))
    if 0 < side < MIN_TILE:
        raise argparse.ArgumentTypeError(f"{text} is too small for a tile: give auto, 0 or at least {MIN_TILE}")
    return side


def duration(text: str) -> float:
    """Read a time such as 90s, 9m or 1.5h as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give 90s, 9m or 1.5h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def build_parser() -> OptionParser:
    """Describe every option, in groups."""
    parser = OptionParser(
        description="CDSR: content and degradation aware blind super-resolution",
        allow_abbrev=False,
        formatter_class=HelpWithDefaults,
    )
    parser.add_argument("--template", choices=sorted(RECIPES), help="a recipe (recipes.py); explicit flags override it")
    _add_hardware(parser.add_argument_group("hardware"))
    _add_data(parser.add_argument_group("data"))
    _add_degradation(parser.add_argument_group("degradation"))
    _add_model(parser.add_argument_group("model"))
    _add_training(parser.add_argument_group("training"))
    _add_optimization(parser.add_argument_group("optimisation"))
    _add_testing(parser.add_argument_group("testing"))
    _add_images(parser.add_argument_group("own images"))
    _add_run(parser.add_argument_group("runs and logs"))
    return parser


def _add_hardware(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--n_threads", type=number(int, low=0), default=4, help="data loading processes")
    group.add_argument("--cpu", action="store_true", help="use the CPU even where a GPU is present")
    group.add_argument("--device", default="auto", help="auto (the best one present), cpu, cuda, cuda:N or mps")
    group.add_argument(
        "--n_GPUs", type=number(int, low=0), default=1, help="number of GPUs, 0: the CPU; with --cpu, of processes"
    )
    group.add_argument("--seed", type=number(int, low=0), default=1, help="seed of every random choice")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="arithmetic; auto: bf16 on hardware that has it (default: auto for own images and on GPUs in training, "
        "else single)",
    )
    group.add_argument(
        "--backend",
        choices=BACKENDS,
        help="what runs the SR network in tests (default: torch; for own images on CPUs: openvino, where installed)",
    )
    group.add_argument(
        "--channels_last",
        action=argparse.BooleanOptionalAction,
        help="memory layout (default: in low precision on GPUs, and in tests on CPUs)",
    )
    group.add_argument("--sync_bn", action="store_true", help="batch statistics over all GPUs")
    group.add_argument("--compile", action="store_true", help="compile the networks for training (torch.compile)")
    group.add_argument(
        "--cuda_graph",
        action="store_true",
        help="record a training step's passes and replay them: small networks on GPUs",
    )
    group.add_argument("--deterministic", action="store_true", help="the same bits twice on a machine, slower on GPUs")


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dir_data", type=Path, help="folder of HR images, or the LMDB packed from one")
    group.add_argument("--data_train", default=DATA_SET, help="folder below --dir_data, where it has no images itself")
    group.add_argument("--data_range", default="1-3450/801-810", help="training/validation images, all counted from 1")
    group.add_argument("--patch_size", type=number(int, low=12), default=48, help="side of a training patch, LR pixels")
    group.add_argument(
        "--context",
        type=number(int, low=0),
        default=0,
        help="side of what the encoder sees around a training patch, LR pixels (default: the patch alone)",
    )
    group.add_argument("--data_resident", action="store_true", help="keep the training images on the device")
    group.add_argument("--no_augment", action="store_true", help="no random flips and rotations")
    group.add_argument("--test_path", type=Path, default=Path("SRTestset"), help="folder of the test sets")
    group.add_argument("--test_sets", nargs="+", default=list(TEST_SETS), metavar="SET", help="names of the test sets")
    group.add_argument("--protocol", choices=PROTOCOLS, help="kernels of the test (default: the degradation's own)")


def _add_degradation(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--scale", type=number(int, low=min(SCALES), high=max(SCALES)), default=2, help="1 to 4")
    group.add_argument("--degradation", choices=DEGRADATIONS, default="cdsr", help="convention of kernels and sampling")
    group.add_argument("--blur_kernel", type=count, default=21, help="side of the blur kernel, HR pixels, odd")
    group.add_argument("--blur_type", choices=BLUR_TYPES, default="aniso_gaussian", help="of random kernels")
    group.add_argument("--sample_mode", choices=SAMPLE_MODES, help="downsampling (default: the convention's)")
    group.add_argument(
        "--sv_mode", type=int, choices=SV_MODES, default=0, help="spatially variant blur: one of six patterns, 0: none"
    )
    group.add_argument(
        "--noise",
        type=non_negative,
        default=0.0,
        help="standard deviation of noise, grey levels of 0 to 255: a training draws 0 to this, a test has exactly "
        "this; for own images: take weights trained with noise",
    )
    group.add_argument("--sig_min", type=non_negative, help="smallest width; cdsr aniso: variance, else std deviation")
    group.add_argument("--sig_max", type=non_negative, help="largest width (defaults: the published ranges)")
    group.add_argument(
        "--unblurred",
        type=number(float, low=0, high=1),
        default=0.0,
        help="share of training images without blur, reduced by antialiased bicubic alone",
    )
    group.add_argument("--sig", type=non_negative, help="test with one isotropic kernel of this standard deviation")
    group.add_argument("--sig1", type=non_negative, help="test with one kernel (cdsr): first variance")
    group.add_argument("--sig2", type=non_negative, help="test with one kernel (cdsr): second variance")
    group.add_argument("--theta", type=float, help="angle of that kernel: radians (cdsr), degrees (dasr)")
    group.add_argument("--lambda_min", type=positive, help="dasr aniso: smallest standard deviation (default 0.2)")
    group.add_argument("--lambda_max", type=positive, help="dasr aniso: largest standard deviation (default 4)")
    group.add_argument("--lambda_1", type=positive, help="test with one kernel (dasr): first standard deviation")
    group.add_argument("--lambda_2", type=positive, help="test with one kernel (dasr): second standard deviation")


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        default="CDSR",
        choices=sorted(MODELS),
        help="..._S: small; ..._oracle: told the true kernel and noise level; ..._unconditional: without a code",
    )
    group.add_argument(
        "--lpe",
        choices=LPE_KINDS,
        help="CDSR's encoder: both published branches, one of them, our autocorrelation branch, all three, or naive: "
        "DASR's encoder (default: as --model or the weights have it)",
    )
    group.add_argument(
        "--csc",
        action=argparse.BooleanOptionalAction,
        help="CDSR's codebook; without: the feature is the code (default: with, or as the weights are)",
    )
    group.add_argument(
        "--dqa",
        action=argparse.BooleanOptionalAction,
        help="CDSR's query; without: kernels from the code alone, as in DASR (default: with, or as the weights are)",
    )
    group.add_argument(
        "--head",
        action=argparse.BooleanOptionalAction,
        help="a head that reads the degradation off the feature and makes the code of it (default: as --model has it)",
    )
    group.add_argument(
        "--compression",
        action=argparse.BooleanOptionalAction,
        help="the head reads the strength of JPEG compression, too (default: without, or as the weights are)",
    )
    group.add_argument("--pre_train", type=Path, help="weights to start from or to test (.pt, .safetensors)")
    group.add_argument("--init_from", type=Path, help="start from all of these weights but the tail, of any scale")
    group.add_argument(
        "--tile",
        type=tile,
        help="side of the SR network's tiles, LR pixels: auto (from the free memory; default for --dir_demo), "
        "16 or more, or 0: the whole image at once (default for test sets)",
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--epochs_encoder", type=number(int, low=-1), default=-1, help="last epoch of the encoder phase, -1: none"
    )
    group.add_argument(
        "--epochs_teacher",
        type=number(int, low=0),
        default=0,
        help="how many of the --epochs_sr epochs, at first, train under codes of the true degradation (--head)",
    )
    group.add_argument("--epochs_sr", type=number(int, low=0), default=700, help="epochs after the encoder phase")
    group.add_argument("--freeze_epoch", type=int, default=600, help="last epoch that trains the encoder")
    group.add_argument("--test_every", type=count, default=1000, help="iterations of an epoch")
    group.add_argument("--batch_size", type=count, default=32, help="pairs of patches in a batch")
    group.add_argument("--batch_encoder", type=count, help="the same in the encoder phase (default: --batch_size)")
    group.add_argument("--split_batch", type=count, default=1, help="run the SR network on this many parts of a batch")
    group.add_argument("--loss", default="1*L1", help="pixel loss, as in 1*L1+0.1*VGG54")
    group.add_argument("--c_weight", type=non_negative, default=1.0, help="weight of the contrastive loss")
    group.add_argument(
        "--positive",
        choices=("cd", "d", "c"),
        default="cd",
        help="pairs of the contrastive loss that share content and degradation, degradation (two images) or content",
    )
    group.add_argument(
        "--d_weight",
        type=non_negative,
        default=0.0,
        help="weight of the error of the degradation that the head reads (--head)",
    )
    group.add_argument(
        "--negatives",
        choices=NEGATIVES,
        default="queue",
        help="of the contrastive loss: earlier keys, the batch's, both",
    )
    group.add_argument("--temperature", type=positive, default=TEMPERATURE, help="of the contrastive loss")
    group.add_argument(
        "--moco_momentum", type=number(float, low=0, high=1), default=MOMENTUM, help="of the key encoder, 0: a copy"
    )
    group.add_argument("--queue_size", type=count, default=QUEUE_SIZE, help="keys that momentum contrast remembers")
    group.add_argument(
        "--skip_threshold",
        type=positive,
        default=StepConfig.skip_threshold,
        help="skip a step whose loss is above this or not finite; ten in a row stop the run",
    )


def _add_optimization(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--lr_encoder", type=positive, default=1e-3, help="learning rate of the encoder phase")
    group.add_argument("--lr_sr", type=positive, default=1e-4, help="learning rate of the joint phase")
    group.add_argument("--lr_decay_encoder", type=count, default=60, help="epochs between steps, encoder phase")
    group.add_argument("--lr_decay_sr", type=count, default=125, help="epochs between steps, joint phase")
    group.add_argument(
        "--decay_type", default="step", help="step, step_A_B (at epochs A, B), cosine, constant, constant_N, time"
    )
    group.add_argument("--gamma_encoder", type=positive, default=0.1, help="factor of a step, encoder phase")
    group.add_argument("--gamma_sr", type=positive, default=0.5, help="factor of a step, joint phase")
    group.add_argument("--optimizer", choices=OPTIMIZERS, default="ADAM", help="(docs/training.md)")
    group.add_argument("--momentum", type=number(float, low=0, high=1), default=0.9, help="of SGD")
    group.add_argument("--beta1", type=number(float, low=0, high=1), default=0.9, help="of Adam")
    group.add_argument("--beta2", type=number(float, low=0, high=1), default=0.999, help="of Adam")
    group.add_argument("--epsilon", type=positive, default=1e-8, help="of Adam and RMSprop")
    group.add_argument("--warmup", type=number(int, low=0), default=0, help="iterations over which the rate rises")
    group.add_argument(
        "--ema", type=number(float, low=0, high=0.999999), default=0.0, help="decay of averaged weights, 0: none"
    )
    group.add_argument("--grad_clip", type=positive, help="largest norm of the gradient")
    group.add_argument("--weight_decay", type=non_negative, default=0.0, help="decay of the weights")


def _add_testing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--test_only", action="store_true", help="main.py: evaluate on the test sets, do not train")
    group.add_argument("--self_ensemble", action="store_true", help="average over the 8 flips and rotations")
    group.add_argument("--save_results", action="store_true", help="write the SR images")
    group.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        default=["psnr", "ssim"],
        help="psnr and ssim on Y, rgb: PSNR on RGB, lpips",
    )
    group.add_argument("--profile", action="store_true", help="time each image alone; memory, size, multiply-adds")
    group.add_argument("--report", action="store_true", help="write a report with images beside the results")
    group.add_argument("--embeddings", action="store_true", help="measure and draw what the encoder's codes tell")


def _add_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dir_demo", nargs="+", metavar="PATH", help="upscale these files, folders and patterns")
    group.add_argument(
        "--strength", type=number(float, low=0, high=1), default=1.0, help="1: the model's result, 0: bicubic's"
    )
    group.add_argument(
        "--blur_only", action="store_true", help="take the shipped weights for blur, not those for real images"
    )
    group.add_argument("--results", type=Path, help="where results are written (default: inside the run)")
    group.add_argument("--format", choices=FORMATS, default="auto", help="of the results; auto: each image's own")
    group.add_argument(
        "--quality", type=number(int, low=1, high=100), default=95, help="of JPEG, WebP (100: lossless) and AVIF"
    )
    group.add_argument("--suffix", help="appended to the names of the results (default: _x2 for --scale 2)")
    group.add_argument(
        "--bits", choices=("auto", "8", "16"), default="auto", help="bits of a sample; auto: as the image has"
    )
    group.add_argument("--overwrite", action="store_true", help="make results again that are there already")
    group.add_argument("--max_megapixels", type=positive, default=500.0, help="refuse larger images")


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--save", default="cdsr", help="name of the run, below experiment/")
    group.add_argument(
        "--resume",
        type=int,
        default=0,
        help="-1: go on from the last state; N: go back to the start of epoch N, or to where it stopped in it "
        "(the two newest states are kept)",
    )
    group.add_argument("--reset", action="store_true", help="delete the run of that name first")
    group.add_argument("--save_models", action="store_true", help="keep the weights of every epoch")
    group.add_argument("--time_limit", type=duration, help="stop in order after this time, as in 9m, 90s or 1.5h")
    group.add_argument("--print_every", type=count, default=100, help="iterations between log lines")
    group.add_argument(
        "--use_tb_logger", action=argparse.BooleanOptionalAction, default=True, help="write TensorBoard files"
    )


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Parse and validate; exits with code 2 and a message where the options contradict each other."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--template", choices=sorted(RECIPES))
    template = finder.parse_known_args(argv)[0].template
    if template:
        parser.set_defaults(**RECIPES[template].options)
    values = vars(parser.parse_args(argv))
    args = Options(_given(parser, argv, values), **values)
    if template and args.pre_train and args.init_from == RECIPES[template].options.get("init_from"):
        args = args.replace(init_from=None)  # the recipe's start gives way to the user's
    for problem in contradictions(args):
        parser.error(problem)
    try:
        parse_loss(args.loss)
        parse_range(args.data_range)
        degradation = build_degradation(args)
    except ValueError as error:
        parser.error(str(error))
    tile = ("auto" if args.dir_demo else 0) if args.tile is None else args.tile
    return args.replace(sample_mode=degradation.downsampling, tile=tile)


def _given(parser: argparse.ArgumentParser, argv: Sequence[str], names: Iterable[str]) -> frozenset[str]:
    """Which of the options a command line names, be it with their defaults."""
    absent = object()  # stays where the command line has nothing: defaults fill in only what a namespace lacks
    told = vars(parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, absent))))
    return frozenset(name for name, value in told.items() if value is not absent)


def contradictions(args: Options) -> list[str]:
    """List what cannot be meant, in words for the user."""
    network = network_of(args.model)
    has_head = usual_variant(args.model).head if args.head is None else args.head
    recipe = RECIPES[args.template].options if args.template else {}
    rules = [
        (
            args.scale != recipe.get("scale", args.scale),
            f"--template {args.template} is for --scale {recipe.get('scale')}; for --scale {args.scale} there are: "
            f"{', '.join(name for name, one in RECIPES.items() if one.options.get('scale') == args.scale) or 'none'}",
        ),
        (
            args.blur_type == "iso_gaussian"
            and recipe.get("blur_type") != args.blur_type
            and "sig_max" in recipe
            and not {"sig_min", "sig_max"} <= args.given,
            f"--template {args.template} has the variances of anisotropic kernels: give --sig_min and --sig_max, "
            "standard deviations, with --blur_type iso_gaussian",
        ),
        (
            network.is_contrastive and "freeze_epoch" not in args.given and args.epochs_encoder >= args.freeze_epoch,
            f"--epochs_encoder {args.epochs_encoder} leaves no epoch for the joint phase, which --freeze_epoch "
            f"{args.freeze_epoch} ends: give that, too",
        ),
        (args.split_batch > args.batch_size, f"--split_batch {args.split_batch} is above --batch_size"),
        (
            args.epochs_teacher > args.epochs_sr,
            f"--epochs_teacher {args.epochs_teacher} is above --epochs_sr {args.epochs_sr}, of which it is a part",
        ),
        (
            args.cuda_graph and (args.cpu or args.n_GPUs != 1 or args.compile),
            "--cuda_graph is for one GPU: leave out --cpu, --n_GPUs and --compile",
        ),
        (
            (args.cpu or args.n_GPUs == 0) and args.device not in ("auto", "cpu"),
            f"{'--cpu' if args.cpu else '--n_GPUs 0'} contradicts --device {args.device}",
        ),
        (
            args.n_GPUs > 1 and ":" in args.device,
            f"--device {args.device} is one GPU, --n_GPUs {args.n_GPUs} are several: leave one of them out",
        ),
        (args.n_GPUs > 1 and args.dir_demo, "--dir_demo takes one process: leave out --n_GPUs"),
        (
            args.protocol is not None and args.names_kernel,
            "--protocol has kernels of its own: leave out --sig, --sig1, --sig2, --lambda_1, --lambda_2",
        ),
        (
            args.suffix and set(args.suffix) & set("/\\\0"),
            f"--suffix {args.suffix} has a path in it: give a few letters, as in _x2; folders are --results",
        ),
        (
            args.dir_demo and args.suffix == "" and not args.results,
            "--suffix '' gives results the names of their images: give --results, a folder of their own",
        ),
        (
            network.is_non_blind and args.dir_demo,
            f"--model {args.model} is told the true kernel, and nobody knows that of your images: take CDSR or CDSR_S",
        ),
        (
            network.is_non_blind and (args.sv_mode or args.protocol == "cdsr-sv"),
            f"--model {args.model} is told one kernel an image, and spatially variant blur has many: take CDSR or "
            "CDSR_S",
        ),
        (
            network.is_non_blind and args.self_ensemble,
            f"--self_ensemble turns the image, not the kernel told to {args.model}: leave it out",
        ),
        (
            network.is_trainable and not network.is_contrastive and args.epochs_encoder > 0,
            f"--epochs_encoder {args.epochs_encoder}: {args.model} has no encoder to train first; give -1",
        ),
        (
            (args.epochs_teacher or args.d_weight) and not (network.has_variants and has_head),
            f"--epochs_teacher and --d_weight take a model whose code is made of a degradation: give --head, or leave "
            f"them out for {args.model}",
        ),
        (
            args.compression and not has_head,
            "--compression is read by a head: give --head, or leave it out",
        ),
        *(
            (not args.dir_demo and name in args.given, f"--{name} is for your own images (--dir_demo): leave it out")
            for name in OWN_IMAGES
        ),
        *(
            (args.dir_demo and name in args.given, f"--{name} is for test sets, not for your own images: leave it out")
            for name in TEST_SETS_ALONE
        ),
        *(
            (
                args.embeddings and name in args.given,
                f"--embeddings encodes images and upscales none: leave out --{name}",
            )
            for name in OF_UPSCALING
        ),
        (args.blur_only and args.pre_train, "--blur_only chooses among shipped weights, --pre_train names its own"),
        (args.resume < -1, f"--resume {args.resume}: give -1 for the last state or an epoch"),
        (args.init_from and args.pre_train, "--init_from and --pre_train are two starts: give one of them"),
        (args.resume != 0 and args.reset, "--resume keeps a run, --reset deletes it: give one of them"),
        (
            not re.fullmatch(DECAY_TYPES, args.decay_type),
            f"--decay_type {args.decay_type}: give step, step_A_B with epochs A and B, cosine, constant, constant_N: "
            "constant, then down to 0 over the last N epochs, or time",
        ),
        (
            args.decay_type == "time" and not args.time_limit,
            "--decay_type time falls to 0 at the end of --time_limit: give it, as in 15m",
        ),
    ]
    return [message for broken, message in rules if broken]
