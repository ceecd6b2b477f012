"""What every part may use: images, files, devices, checkpoints, logs. Imports nothing else of this project."""
