"""TransFusion benchmark: the method, its data, its scores and its tables.

The recipe numbers take part in the settings of their stage. Raise one on purpose, and only then, when what the stage
produces changes; the golden tests in ``tests/golden`` notice when numbers change by accident.
"""

RECIPE = 2
"""Recipe of training: raising it retrains everything."""

PACK_RECIPE = 1
"""Recipe of packing (resizing, foregrounds, textures): raising it packs everything anew, and retrains everything."""

INFER_RECIPE = 1
"""Recipe of inference: raising it makes all maps anew."""

SCORE_RECIPE = 1
"""Recipe of scoring: raising it scores all maps anew."""

TABLE_RECIPE = 1
"""Recipe of tables, claims and the report page: raising it writes them anew, from the scores that are there."""
