"""From an LR image to its SR image: the upscaler, tiles, memory."""
