"""Images in files: reading and writing all kinds, and upscaling those of a person."""
