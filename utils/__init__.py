"""What every part may use: pictures, metrics, checkpoints, logs. Imports nothing else of this project."""
