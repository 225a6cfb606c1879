"""Built-in filters; each measures, then decides."""
