"""Prepare test sets: HR and LR images of a protocol in the layout of `data.protocols`, and a manifest.

`python -m data.build_testset --hr_dir DIR --out DIR --sets Set5 Set14 --scales 2 3 4`, where DIR/Set5, DIR/Set14
hold HR images. manifest.json in each prepared folder has what was made, how, with which versions, and the SHA-256
of each file. A folder of LR images appears only when all of it is written.
"""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from data.degradation import SCALES, SV_MODES
from data.protocol import Protocol
from data.protocols import PROTOCOLS, get_protocol
from data.test_sets import PlainTestset, TestsetError, lr_folders
from utils.files import sha256, write_json
from utils.image import list_images, read_rgb, write_image

MANIFEST = "manifest.json"


def build(testset: PlainTestset, out: Path, *, reset: bool = False, progress: bool = True) -> Path:
    """Write `out`/NAME_xS with the samples of a plain set; returns the path of its manifest.

    reset: replace what exists. TestsetError where LR of this protocol, or other HR, are there and it is not given;
    ImageError for a broken image. No file, and no folder of LR images, is left half written.
    """
    protocol, test_kernels = testset.protocol, testset.protocol.test_kernels
    target = out / f"{testset.name}_x{protocol.scale}"
    check_target(target, testset, reset)
    manifest = read_manifest(target)
    is_shared = any(part["hr_folder"] == protocol.layout.hr_folder for part in _other_parts(manifest, protocol))
    hr_folder = target / protocol.layout.hr_folder
    partial = {name: target / f".{name}.partial" for name in (hr_folder.name, *lr_folders(protocol))}
    try:
        for folder in partial.values():
            shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run
            folder.mkdir(parents=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for i, image in enumerate(tqdm(testset.images, desc=target.name, disable=not progress)):
                samples = [testset[i * len(test_kernels) + k] for k in range(len(test_kernels))]
                hr_files = _hr_files(hr_folder, image, samples[0].hr, protocol, can_replace=reset and not is_shared)
                _write_copies([partial[hr_folder.name] / name for name in hr_files], samples[0].hr)
                paths = [partial[protocol.lr_folder(c)] / f"{protocol.lr_stem(image, c)}.png" for c in test_kernels]
                list(pool.map(write_image, paths, [sample.lr for sample in samples]))
        if reset:  # before the HR images that they were made of
            for name in lr_folders(protocol):
                shutil.rmtree(target / name, ignore_errors=True)
        hr_folder.mkdir(exist_ok=True)
        for path in partial[hr_folder.name].iterdir():
            path.replace(hr_folder / path.name)
        for name in lr_folders(protocol):
            partial[name].replace(target / name)
    finally:
        for folder in partial.values():
            shutil.rmtree(folder, ignore_errors=True)
    write_json(target / MANIFEST, _extend(manifest, target, testset))
    return target / MANIFEST


def check_target(target: Path, testset: PlainTestset, reset: bool) -> None:
    """TestsetError if a folder that would be written exists, or HR images are there that no LR would be made of."""
    protocol, hr_folder = testset.protocol, target / testset.protocol.layout.hr_folder
    for path in list_images(hr_folder) if hr_folder.is_dir() else ():
        owners = [protocol.image_of(path.stem, test_kernel, hr=True) for test_kernel in protocol.test_kernels]
        if any(owner and owner not in testset.images for owner in owners):
            raise TestsetError(
                f"{path} is of no image of {testset.folder}: delete {target}, or the HR and LR images in it that are "
                "gone from there, or give another --out"
            )
    existing = [folder for folder in lr_folders(protocol) if (target / folder).exists()]
    if existing and not reset:
        raise TestsetError(f"{target / existing[0]} exists already: give another --out, or --reset to replace it")


def read_manifest(target: Path) -> dict[str, Any]:
    """The manifest of a prepared folder, empty where there is none."""
    path = target / MANIFEST
    if not path.exists():
        return {}
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        if any({"hr_folder", "lr_folders"} - set(part) for part in manifest["parts"]) or not dict(manifest["files"]):
            raise ValueError("it does not say what was made")
    except (KeyError, ValueError, TypeError) as error:
        raise TestsetError(f"{path} is not a manifest of ours ({error}): move it away") from error
    return manifest


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the builder."""
    parser = argparse.ArgumentParser(
        prog="python -m data.build_testset", description="Prepare test sets of a protocol."
    )
    parser.add_argument("--hr_dir", type=Path, required=True, help="folder that holds a folder of HR images per set")
    parser.add_argument("--out", type=Path, required=True, help="folder to write SET_xSCALE into")
    parser.add_argument("--sets", nargs="+", required=True, metavar="SET", help="names of the sets, such as Set5 Set14")
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 3, 4], choices=SCALES, help="default: 2 3 4")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="cdsr", help="kernels and their convention")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation in grey levels, 0 to 255")
    parser.add_argument("--sv_mode", type=int, default=0, choices=SV_MODES, help="one mode of cdsr-sv alone")
    parser.add_argument("--reset", action="store_true", help="replace LR images that exist")
    args = parser.parse_args(arguments)
    try:
        jobs: list[PlainTestset] = []  # everything is checked before anything is written
        for name in dict.fromkeys(args.sets):
            if not (args.hr_dir / name).is_dir():
                raise TestsetError(
                    f"no folder {args.hr_dir / name}: --hr_dir should hold one of HR images for each set"
                )
            if Path(name).name != name:
                raise TestsetError(f"--sets {name}: give the name of a folder in --hr_dir, without a slash")
            for scale in dict.fromkeys(args.scales):
                protocol = get_protocol(args.protocol, scale, args.noise, args.sv_mode)
                jobs.append(PlainTestset(name, protocol, args.hr_dir / name))
                target = args.out / f"{name}_x{scale}"
                check_target(target, jobs[-1], args.reset)
                read_manifest(target)
        for testset in jobs:
            print(build(testset, args.out, reset=args.reset))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _hr_files(folder: Path, image: str, hr: np.ndarray, protocol: Protocol, *, can_replace: bool) -> list[str]:
    """Names of the HR files to write of an image, one per test kernel where the layout asks for it; others are there.

    can_replace: whether another image of this name may go, since no LR image but those to come was made of it.
    """
    missing = []
    for name in dict.fromkeys(f"{protocol.hr_stem(image, c)}.png" for c in protocol.test_kernels):
        path = folder / name
        if path.exists() and np.array_equal(read_rgb(path), hr):
            continue
        if path.exists() and not can_replace:
            raise TestsetError(
                f"{path} is another image already: delete {folder.parent}, whose LR images were made of it, or give "
                "another --out"
            )
        missing.append(name)
    return missing


def _write_copies(paths: Sequence[Path], image: np.ndarray) -> None:
    """Write an image by several names, in the space of one where the file system has links."""
    for path in paths[:1]:
        write_image(path, image)
    for path in paths[1:]:
        try:
            os.link(paths[0], path)
        except OSError:
            shutil.copyfile(paths[0], path)


def _extend(manifest: dict[str, Any], target: Path, testset: PlainTestset) -> dict[str, Any]:
    """Add what was made to the manifest of what was there."""
    protocol = testset.protocol
    files = manifest.get("files", {})
    for folder in (protocol.layout.hr_folder, *lr_folders(protocol)):
        files = {name: digest for name, digest in files.items() if not name.startswith(f"{folder}/")}
        files |= {f"{folder}/{path.name}": sha256(path) for path in list_images(target / folder)}
    how = {
        "protocol": protocol.describe(),
        "images": list(testset.images),
        "hr_folder": protocol.layout.hr_folder,
        "lr_folders": lr_folders(protocol),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "opencv": cv2.__version__},
    }
    parts = [*_other_parts(manifest, protocol), how]
    return {"set": testset.name, "scale": protocol.scale, "parts": parts, "files": files}


def _other_parts(manifest: dict[str, Any], protocol: Protocol) -> list[dict[str, Any]]:
    """What a prepared folder holds beside the LR images of a protocol."""
    return [part for part in manifest.get("parts", []) if part["lr_folders"] != lr_folders(protocol)]


if __name__ == "__main__":
    main()
