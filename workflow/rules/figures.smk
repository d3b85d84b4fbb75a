# Figures.


rule figures:
    """Figures."""
    input:
        [],
