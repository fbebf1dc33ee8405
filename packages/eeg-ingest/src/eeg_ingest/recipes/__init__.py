"""Recipes of public datasets: `<name>.yaml` holds the keys of a source, its facts and its tasks (docs/recipes.md).

`<name>.py` beside it, where there is one, reads labels that no declaration can say.
"""
