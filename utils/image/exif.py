"""EXIF as it was: Pillow reads its texts as Latin-1, and writes only what is ASCII in them."""

from collections.abc import Callable

from PIL import ExifTags
from PIL import Image as PILImage


class Text(str):
    """A text of EXIF, of which Pillow writes the bytes that it was read from."""

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        """Give the bytes, whatever coding is asked for."""
        return super().encode("latin-1", "replace")


def keep_texts(tags: PILImage.Exif) -> None:
    """Make all texts `Text`, those of the camera and of the place, too."""
    camera = [tags.get_ifd(ifd) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) if ifd in tags]
    for directory in (tags, *camera):
        directory.update({tag: Text(value) for tag, value in directory.items() if isinstance(value, str)})


def orientation_of(
    image: PILImage.Image, read_exif: Callable[[PILImage.Image], PILImage.Exif] = lambda image: image.getexif()
) -> int:
    """How a camera was held, 1 to 8; 1, upright, where damaged EXIF does not tell."""
    try:
        return int(read_exif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow's parser raises half a dozen types
        return 1
