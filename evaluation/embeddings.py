"""What the encoder learnt: its codes over images and kernels, drawn and probed (CDSR, table 1).

Two linear classifiers read the code. One names the kernel of images that it has not seen: how much the code knows
of the degradation. One names the image under kernels that it has not seen: how much it knows of the content. Where
images are compressed as well (protocol `real`), a regression reads how strong blur, noise and compression are.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from data.samples import Samples, Testset, readable
from evaluation.codes import COLLAPSED, code_spread
from evaluation.estimates import Estimates, collect_estimates, draw_estimates
from evaluation.figures import DPI, GRID_COLOUR, SOFT_COLOUR, TEXT_COLOUR, save_figure
from evaluation.probe import SEED, Points, Probe, probe
from evaluation.sets import warn_of_replaced
from evaluation.strengths import Regression, describe, draw_regressions, regress, strengths_of
from model.network import Network
from utils.environment import environment
from utils.files import replacing, write_json
from utils.image import to_tensor

LARGEST_LEGEND = 12
MARKERS = "osD^vP*X<>ph"


@dataclass(frozen=True)
class Embeddings:
    """Codes (N, D) float32 with the kernel and the image of each; strengths (N, 3) of the degradations, where known."""

    codes: npt.NDArray[np.float32]
    kernels: tuple[str, ...]
    images: tuple[str, ...]
    strengths: npt.NDArray[np.float64] | None = None

    @property
    def collapsed(self) -> bool:
        """Whether all codes are equal: the encoder then tells nothing."""
        return len(self.codes) > 1 and code_spread(torch.from_numpy(self.codes)) <= COLLAPSED

    @property
    def points(self) -> Points:
        """The codes (N, D) in float64; zeros where they have collapsed: what is left of them is rounding."""
        return np.zeros(self.codes.shape) if self.collapsed else self.codes.astype(np.float64)

    def probes(self) -> dict[str, Probe]:
        """What the codes know of the kernel and of the image."""
        return {
            "kernel": probe(self.points, self.kernels, self.images, "images"),
            "image": probe(self.points, self.images, self.kernels, "kernels"),
        }

    def regressions(self) -> dict[str, Regression]:
        """What the codes know of the strengths, where these are known."""
        return {} if self.strengths is None else regress(self.points, self.strengths, self.kernels)


def encode_sets(
    model: Network,
    testsets: Mapping[str, Testset],
    checkpoint: Mapping[str, Any],
    stem: Path,
    *,
    device: torch.device,
) -> str:
    """Encode every set, write what the codes tell, as `write_embeddings` does; returns it in words.

    Args:
        model: on `device`, in evaluation mode.
        testsets: by name; all of one protocol.
        checkpoint: what the files say of the weights.
        stem: of the files.
        device: where the model lives.
    """
    context = {
        "sets": {name: testset.listed_images for name, testset in testsets.items()},
        "protocol": next(iter(testsets.values())).protocol.describe(),
        "checkpoint": checkpoint,
    }
    warn_of_replaced({stem: context})
    embeddings = collect_embeddings(model, testsets, device=device)
    estimates = collect_estimates(model, testsets, device=device)
    return write_embeddings(stem, embeddings, estimates, context={**context, "environment": environment()})


@torch.inference_mode()
def collect_embeddings(model: Network, samples: Mapping[str, Samples], *, device: torch.device) -> Embeddings:
    """Encode every sample of every set; one that is corrupt is left out."""
    codes, kernels, images, strengths = [], [], [], []
    for name, sample in readable(samples, "codes"):
        code = model.encode(to_tensor(sample.lr)[None].to(device), sample.known_degradation)
        codes.append(code[0].float().cpu().numpy())
        kernels.append(sample.kernel)
        images.append(f"{name}/{sample.image}")
        strengths.append(sample.known_degradation and strengths_of(sample.known_degradation))
    if not codes or not codes[0].size:
        raise ValueError("--embeddings has no codes to show: give a model with an encoder (CDSR, DASR) and a set")
    known = np.array(strengths, np.float64) if all(strengths) else None
    return Embeddings(np.stack(codes), tuple(kernels), tuple(images), known)


def write_embeddings(
    stem: Path,
    embeddings: Embeddings,
    estimates: Estimates | None = None,
    *,
    context: Mapping[str, Any] | None = None,
) -> str:
    """Write `stem`.npz (codes and labels), .png (PCA and t-SNE) and .json (the probes); returns these in words.

    Where strengths are known, what a regression reads of them is drawn as `stem`_strengths.png. estimates: what the
    network read off the images; drawn as `stem`_kernels.png. context: what the .json says besides: of what the codes
    are.
    """
    probes = embeddings.probes()
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, codes=embeddings.codes, kernels=np.array(embeddings.kernels), images=np.array(embeddings.images)
    )
    with replacing(stem.with_name(stem.name + ".npz")) as temporary:
        temporary.write_bytes(buffer.getvalue())
    draw_embeddings(embeddings, stem.with_name(stem.name + ".png"))
    summary: dict[str, Any] = {
        **(context or {}),
        "num_codes": len(embeddings.codes),
        "collapsed": embeddings.collapsed,
        "probes": {name: asdict(result) for name, result in probes.items()},
    }
    if estimates:
        summary |= estimates.summary()
        draw_estimates(estimates, stem.with_name(stem.name + "_kernels.png"))
    if regressions := embeddings.regressions():
        summary["regressions"] = {name: regression.summary() for name, regression in regressions.items()}
        draw_regressions(regressions, stem.with_name(stem.name + "_strengths.png"))
    write_json(stem.with_name(stem.name + ".json"), summary)
    warning = ["warning: all codes are equal: the encoder has collapsed"] if embeddings.collapsed else []
    read = [estimates.describe()] if estimates else []
    read += [describe(regressions)] if regressions else []
    return "\n".join([*warning, *(result.describe(name) for name, result in probes.items()), *read])


def draw_embeddings(embeddings: Embeddings, path: Path) -> None:
    """Draw PCA and t-SNE, in rows, coloured by kernel and by image, in columns."""
    codes = embeddings.points
    planes = {"PCA": np.zeros((len(codes), 2)) if embeddings.collapsed else _pca(codes)}
    if len(codes) > 3 and not embeddings.collapsed:
        planes["t-SNE"] = _tsne(codes)
    figure = Figure(figsize=(12.0, 0.6 + 4.6 * len(planes)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(planes), 2, squeeze=False)
    for row, (name, points) in zip(grid, planes.items(), strict=True):
        _scatter(row[0], points, embeddings.kernels, f"{name}, coloured by kernel")
        _scatter(row[1], points, embeddings.images, f"{name}, coloured by image")
    save_figure(figure, path)


def _pca(codes: Points) -> Points:
    num = min(2, *codes.shape)
    points = PCA(num, random_state=SEED).fit_transform(codes)
    return np.pad(points, ((0, 0), (0, 2 - num)))


def _tsne(codes: Points) -> Points:
    perplexity = min(30.0, (len(codes) - 1) / 3)
    reduced = PCA(min(50, *codes.shape), random_state=SEED).fit_transform(codes)
    return np.asarray(TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(reduced))


def _scatter(axes: Axes, points: Points, labels: tuple[str, ...], title: str) -> None:
    """One colour and marker a label; a legend where there are few enough."""
    names = list(dict.fromkeys(labels))
    hues = np.linspace(0, 1, len(names), endpoint=False)
    size = float(np.clip(6000 / len(points), 10, 60))
    for index, (name, hue) in enumerate(zip(names, hues, strict=True)):
        own = points[[label == name for label in labels]]
        colour = _colour(float(hue))
        marker = MARKERS[index % len(MARKERS)] if len(names) <= LARGEST_LEGEND else "o"
        axes.scatter(own[:, 0], own[:, 1], s=size, color=colour, marker=marker, alpha=0.8, linewidths=0, label=name)
    axes.set_title(title, color=TEXT_COLOUR, fontsize=12, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GRID_COLOUR)
    if len(names) <= LARGEST_LEGEND:
        legend = axes.legend(fontsize=8, ncols=math.ceil(len(names) / 6), framealpha=0.85, edgecolor=GRID_COLOUR)
        for text in legend.get_texts():
            text.set_color(SOFT_COLOUR)


def _colour(hue: float) -> tuple[float, float, float]:
    """A colour wheel of about even lightness."""
    angle = 2 * math.pi * hue
    wheel = [0.5 + 0.38 * math.cos(angle - shift) for shift in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)]
    return wheel[0], 0.85 * wheel[1], wheel[2]
