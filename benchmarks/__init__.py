"""Measurements of speed and memory; run them with ``python -m tfcore bench``."""
