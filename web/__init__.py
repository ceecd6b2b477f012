"""A web page that upscales an image: `python -m web` (needs requirements-web.txt)."""
