"""The graph: one module a stage."""
