"""Upscaling the images of a person: which, under which names, with what becomes of each."""
