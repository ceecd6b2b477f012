r"""Upscale an image with an exported model and onnxruntime alone, without PyTorch and without this project.

python -m inference.export --pre_train experiment/pretrained/cdsr_s_x2.safetensors --model CDSR_S --to onnx \
    --out cdsr.onnx
python examples/upscale_with_onnxruntime.py cdsr.onnx image.png larger.png
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def upscale(model_path: str, image: np.ndarray) -> np.ndarray:
    """Upscale (H, W, 3) uint8 RGB; the network takes float32 (1, 3, H, W) in [0, 255] with sides of 17 or more."""
    height, width = image.shape[:2]
    padding = ((0, max(17 - height, 0)), (0, max(17 - width, 0)), (0, 0))
    lr = np.pad(image, padding, mode="edge").astype(np.float32).transpose(2, 0, 1)[None]
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    sr = session.run(["sr"], {"lr": lr})[0][0].transpose(1, 2, 0)
    scale = sr.shape[0] // lr.shape[2]
    return sr[: height * scale, : width * scale].round().astype(np.uint8)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: upscale_with_onnxruntime.py MODEL.onnx IMAGE RESULT")
    with Image.open(sys.argv[2]) as image:
        if image.mode.startswith(("I", "F")):
            sys.exit(f"{sys.argv[2]} is grey of more than 8 bits, which Pillow would turn white: convert it first")
        result = upscale(sys.argv[1], np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
    Image.fromarray(result).save(sys.argv[3])
