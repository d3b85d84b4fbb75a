"""TransFusion benchmark: methods, their data, their scores and the paper's tables."""
