"""Pack a folder of HR images into one LMDB file of raw pixels, from which training never decodes.

`python -m data.build_lmdb --dir_data DIR --out FILE.lmdb`. The file takes 3 bytes a pixel
(DF2K: about 29 GB) and is written to a temporary name first.
"""

import argparse
import logging
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import lmdb
import numpy as np
from tqdm import tqdm

from data.lmdb import METADATA_KEY, encode_metadata, image_key
from data.sources import find_images, read_sizes, warn_of_skipped
from utils.files import replacing
from utils.image import ImageError, read_rgb

_COMMIT_BYTES = 256 * 1024**2  # pixels held back before they are written out


def build_lmdb(dir_data: Path, out: Path, *, num_threads: int = 4, reset: bool = False, progress: bool = True) -> int:
    """Write the readable images of `dir_data` to `out`, in natural order; returns their number.

    Unreadable ones are named in a warning and keep their numbers, for `--data_range`. ValueError if there is no image,
    if `out` exists and not `reset`, is not named .lmdb, or does not fit on the disk; a failure leaves neither `out` nor
    a temporary file behind.
    """
    if out.suffix.lower() != ".lmdb":
        raise ValueError(f"--out {out} must end in .lmdb, by which --dir_data knows it")
    if out.exists() and (out.is_dir() or not reset):
        raise ValueError(f"--out {out} exists already: give another name" + ("" if out.is_dir() else ", or --reset"))
    folder, names = find_images(dir_data)
    sizes, _ = read_sizes(folder, names)
    map_size = _map_size(names, sizes)
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if map_size > free:
        raise ValueError(f"{out} needs up to {map_size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free there")
    try:
        with replacing(out) as temporary:
            return _write(temporary, folder, names, map_size, num_threads, progress)
    except lmdb.Error as error:
        raise ValueError(f"cannot write {out}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the builder."""
    parser = argparse.ArgumentParser(prog="python -m data.build_lmdb", description="Pack HR images for training.")
    parser.add_argument("--dir_data", type=Path, required=True, help="folder of HR images")
    parser.add_argument("--out", type=Path, required=True, help="file to write, FILE.lmdb")
    parser.add_argument("--n_threads", type=int, default=os.cpu_count() or 1, help="images decoded at a time")
    parser.add_argument("--reset", action="store_true", help="replace FILE.lmdb if it exists")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    if args.n_threads < 1:
        parser.error(f"--n_threads {args.n_threads} must be at least 1")
    try:
        num_packed = build_lmdb(args.dir_data, args.out, num_threads=args.n_threads, reset=args.reset)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    size = args.out.stat().st_size / 1e9
    print(f"{num_packed} images in {args.out} ({size:.2f} GB): train with --dir_data {args.out}")


def _map_size(names: list[str], sizes: np.ndarray) -> int:
    """Bytes that LMDB may need: every value in whole pages with a header, its key and name, and some for the tree."""
    page = 4096
    return int((sizes.prod(axis=1) * 3 // page + 3).sum()) * page + sum(6 * len(name) + 512 for name in names) + 2**20


def _write(path: Path, folder: Path, names: list[str], map_size: int, num_threads: int, progress: bool) -> int:
    """Fill the new file `path` and sync it to the disk; returns the number of images."""
    sizes: list[tuple[int, int]] = []
    broken: list[str] = []
    waiting = 0
    environment = lmdb.open(str(path), subdir=False, lock=False, map_size=map_size, sync=False, metasync=False)
    with environment:
        transaction = environment.begin(write=True)
        for image in tqdm(_decode(folder, names, num_threads), total=len(names), disable=not progress):
            if isinstance(image, ImageError):
                broken.append(str(image))
                image = np.empty((0, 0, 3), np.uint8)
            transaction.put(image_key(len(sizes)), image.data)
            sizes.append((image.shape[0], image.shape[1]))
            waiting += image.nbytes
            if waiting > _COMMIT_BYTES:
                transaction.commit()
                transaction, waiting = environment.begin(write=True), 0
        transaction.put(METADATA_KEY, encode_metadata(names, sizes))
        transaction.commit()
    warn_of_skipped(folder, broken, "unreadable")
    if len(broken) == len(names):
        raise ValueError(f"{folder}: none of its {len(names)} images can be decoded; the first: {broken[0]}")
    return len(names) - len(broken)


def _decode(folder: Path, names: list[str], num_threads: int) -> Iterator[np.ndarray | ImageError]:
    """Images or errors, in order, a few decoded ahead of the writer."""

    def read(name: str) -> np.ndarray | ImageError:
        try:
            return read_rgb(folder / name)
        except ImageError as error:
            return error

    ahead: deque[Future[np.ndarray | ImageError]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for name in names:
            ahead.append(pool.submit(read, name))
            if len(ahead) > 2 * num_threads:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()


if __name__ == "__main__":
    main()
