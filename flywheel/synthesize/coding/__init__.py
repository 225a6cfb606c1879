"""Functions that a model writes: the languages they are written in, and the trial that they must pass."""
