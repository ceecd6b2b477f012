"""Images to try things on, and what is in their files."""

from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms

from utils.image import write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth_image(seed: int, height: int = 48, width: int = 60) -> np.ndarray:
    """Smooth noise, (height, width, 3) uint8."""
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 255
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255)
    return fine[0].permute(1, 2, 0).round().byte().numpy()


def write_photographs(folder: Path) -> Path:
    """Write six smooth random images, of 72x88 pixels."""
    generator = np.random.default_rng(0)
    for index in range(6):
        coarse = torch.from_numpy(generator.uniform(0, 255, (1, 3, 9, 11)))
        image = torch.nn.functional.interpolate(coarse, size=(72, 88), mode="bicubic").clamp(0, 255)
        write_image(folder / f"{index}.png", image[0].permute(1, 2, 0).round().to(torch.uint8).numpy())
    return folder


def random_pixels(channels: int, bits: int, height: int = 13, width: int = 22) -> np.ndarray:
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(channels).integers(0, 2**bits, (height, width, channels)).astype(dtype)


def exif_of(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = orientation
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    camera[ExifTags.Base.ExifImageWidth] = 22
    camera[ExifTags.Base.ISOSpeedRatings] = 400
    return exif.tobytes()


def save_pil(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path
