"""Metrics: from maps and ground truth to numbers with intervals."""
