"""Engines that train the cells of a study. `torch` is the reference for every other."""
