"""Image files: one reader, one writer, one walk over folders."""

from utils.image.files import FILE_FORMATS, IMAGE_SUFFIXES, format_of, list_images, natural_key
from utils.image.pixels import Image, middle, to_tensor, to_uint8
from utils.image.reader import MAX_PIXELS, ImageError, count_pixels, read_image, read_rgb, read_size
from utils.image.writer import write_image
