"""Training stages: what is done to a parent to make a node. `recipe.py` says what a recipe holds."""
