"""What every part may use: images, metrics, checkpoints, logs. Imports nothing else of this project."""
