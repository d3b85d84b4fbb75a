"""Synthetic anomalies: what is pasted where."""
