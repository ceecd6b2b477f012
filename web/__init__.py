"""A web page that upscales a picture: `python -m web` (needs requirements-web.txt)."""
