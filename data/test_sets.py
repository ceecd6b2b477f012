"""Test sets: prepared by `data.build_testset`, or plain HR folders degraded on the fly, with the same pixels.

Images are read when they are asked for, one after another: the HR of the last image, and its LR under every test kernel
where they are made on the fly, are kept for the test kernels that follow.
"""

from pathlib import Path

import numpy as np

from data.degradation import TestKernel
from data.protocol import Protocol
from data.samples import Sample, Testset, TestsetError
from utils.files import sha256
from utils.image import ImageError, list_images, read_rgb
from utils.log import logger

TEST_SETS = ("Set5", "Set14", "B100", "Urban100")  # those of the papers


class PlainTestset(Testset):
    """A folder of HR images, cropped and degraded as they are asked for."""

    def __init__(self, name: str, protocol: Protocol, folder: Path) -> None:
        self.folder = folder
        self._paths = _by_stem(folder)
        super().__init__(name, protocol, list(self._paths))

    @property
    def files(self) -> list[Path]:
        return list(self._paths.values())

    def _read(self, image: str, test_kernel: TestKernel) -> Sample:
        if self._kept is None or self._kept[0] != image:
            hr = read_hr(self._paths[image], self.protocol)
            self._kept = (image, hr, self.protocol.degrade(image, hr))
        _, hr, all_lr = self._kept
        lr = all_lr[self.protocol.test_kernels.index(test_kernel)]
        return Sample(image, test_kernel.label, lr, hr, self.protocol.known_degradation(test_kernel))


class PreparedTestset(Testset):
    """Folders of HR and LR images laid out as `data.protocols` says."""

    def __init__(self, name: str, protocol: Protocol, folder: Path) -> None:
        self.folder = folder
        self._hr = _by_stem(folder / protocol.layout.hr_folder)
        self._lr = {name: _by_stem(folder / name) for name in lr_folders(protocol)}
        super().__init__(name, protocol, self._find_images(protocol))
        self._check_pairs()

    @property
    def files(self) -> list[Path]:
        return [path for files in (self._hr, *self._lr.values()) for path in files.values()]

    def _find_images(self, protocol: Protocol) -> list[str]:
        """Names of the images that have a file of any test kernel."""
        images: dict[str, None] = {}  # keeps the order
        for name, files in self._lr.items():
            kernels = [kernel for kernel in protocol.test_kernels if protocol.lr_folder(kernel) == name]
            found = [protocol.image_of(stem, kernel) for stem in files for kernel in kernels]
            ours = [image for image in found if image is not None]
            images |= dict.fromkeys(ours)
            if len(ours) < len(files):
                logger.warning(
                    "%s: %d of %d files have other kernels than protocol %s (%s); they are left out",
                    *(self.folder / name, len(files) - len(ours), len(files), protocol.slug, _labels(protocol)),
                )
        if not images:
            raise TestsetError(
                f"{self.folder / next(iter(self._lr))} has no image of protocol {protocol.slug}: its files should be "
                f"{protocol.lr_stem('NAME', protocol.test_kernels[0])}.png and so on, with {_labels(protocol)}"
            )
        return list(images)

    def _check_pairs(self) -> None:
        """Refuse a test kernel without LR or HR, and an HR without LR."""
        protocol = self.protocol
        for test_kernel in protocol.test_kernels:
            owners = [protocol.image_of(stem, test_kernel, hr=True) for stem in self._hr]
            for image in dict.fromkeys((*self.images, *(owner for owner in owners if owner is not None))):
                lr_stem, hr_stem = protocol.lr_stem(image, test_kernel), protocol.hr_stem(image, test_kernel)
                lr, hr = self._lr[protocol.lr_folder(test_kernel)].get(lr_stem), self._hr.get(hr_stem)
                if lr and hr:
                    continue
                lr_path = lr or self.folder / protocol.lr_folder(test_kernel) / f"{lr_stem}.png"
                hr_path = hr or self.folder / protocol.layout.hr_folder / f"{hr_stem}.png"
                missing = " and ".join(str(path) for path, found in ((hr_path, hr), (lr_path, lr)) if not found)
                raise TestsetError(
                    f"HR and LR do not pair: {hr_path} and {lr_path} belong together, but there is no {missing}; "
                    "complete the set, or make it again with python -m data.build_testset"
                )

    def _read(self, image: str, test_kernel: TestKernel) -> Sample:
        lr_path = self._lr[self.protocol.lr_folder(test_kernel)][self.protocol.lr_stem(image, test_kernel)]
        hr_path = self._hr[self.protocol.hr_stem(image, test_kernel)]
        lr, hr = read_rgb(lr_path), self._read_hr(hr_path)
        if hr.shape[:2] != tuple(self.protocol.scale * length for length in lr.shape[:2]):
            raise ImageError(
                f"{hr_path} has {hr.shape[1]}x{hr.shape[0]} pixels (width x height) and {lr_path} has "
                f"{lr.shape[1]}x{lr.shape[0]}: HR must be exactly {self.protocol.scale} times as large"
            )
        return Sample(image, test_kernel.label, lr, hr, self.protocol.known_degradation(test_kernel))

    def _read_hr(self, path: Path) -> np.ndarray:
        """Decode an HR image, unless it is a copy of the last one, as in the published layout."""
        try:
            digest = sha256(path)
        except OSError as error:
            raise ImageError(f"cannot read {path}: {error.strerror}") from error
        if self._kept is None or self._kept[0] != digest:
            self._kept = (digest, read_rgb(path))
        return self._kept[1]


def load_testset(root: Path, name: str, protocol: Protocol) -> Testset:
    """Find a test set below root: `NAME_xS` where it has the protocol's files, else the plain folder `NAME`.

    TestsetError where neither is there, holds images, or pairs.
    """
    if Path(name).name != name:
        raise TestsetError(f"test set {name}: give the name of a folder in {root}, without a slash")
    if not root.is_dir():
        raise TestsetError(
            f"no folder {root}: it should hold the test sets, such as\n{expected_tree(root, name, protocol)}"
        )
    prepared, plain = root / f"{name}_x{protocol.scale}", root / name
    wanted = [prepared / folder for folder in (*lr_folders(protocol), protocol.layout.hr_folder)]
    missing = ", ".join(str(folder) for folder in wanted if not folder.is_dir())
    if not missing:
        return PreparedTestset(name, protocol, prepared)
    if plain.is_dir():
        if any(folder.is_dir() for folder in wanted[:-1]):
            logger.warning("there is no %s: %s is degraded on the fly instead", missing, plain)
        return PlainTestset(name, protocol, plain)
    raise TestsetError(
        f"no test set {name} for {protocol.slug} at scale {protocol.scale}: looked for {missing}, and for {plain}; "
        f"expected either of\n{expected_tree(root, name, protocol)}"
    )


def read_hr(path: Path, protocol: Protocol) -> np.ndarray:
    """HR image of a plain folder, cropped to a multiple of the scale. ImageError where it is broken or too small."""
    hr = protocol.crop(read_rgb(path))
    smallest = protocol.scale * protocol.degradation().min_lr_side
    if min(hr.shape[:2]) < smallest:
        raise ImageError(f"{path} is too small for {protocol.slug}: a side of at least {smallest} pixels is needed")
    return hr


def lr_folders(protocol: Protocol) -> list[str]:
    """Folders of LR images in a prepared set, each once."""
    return list(dict.fromkeys(protocol.lr_folder(test_kernel) for test_kernel in protocol.test_kernels))


def expected_tree(root: Path, name: str, protocol: Protocol) -> str:
    """Where a set is looked for, drawn for an error message."""
    prepared, test_kernel = f"{root / name}_x{protocol.scale}", protocol.test_kernels[0]
    return (
        f"  {root / name}/IMAGE.png (HR images, degraded on the fly)\n"
        f"  {prepared}/{protocol.layout.hr_folder}/{protocol.hr_stem('IMAGE', test_kernel)}.png\n"
        f"  {prepared}/{protocol.lr_folder(test_kernel)}/{protocol.lr_stem('IMAGE', test_kernel)}.png"
        " (prepared with python -m data.build_testset)"
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    """Images of a folder by name, in natural order. TestsetError if there are none, or two of one name."""
    paths: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in paths:
            raise TestsetError(f"{paths[path.stem]} and {path} have one name: keep one of them")
        paths[path.stem] = path
    if not paths:
        raise TestsetError(f"no images in {folder}: looked for PNG, JPEG, WebP, AVIF, BMP and TIFF files")
    return paths


def _labels(protocol: Protocol) -> str:
    return ", ".join(test_kernel.label for test_kernel in protocol.test_kernels)
