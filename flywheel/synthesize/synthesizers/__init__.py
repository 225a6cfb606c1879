"""Synthesizers: one technique a file, each naming its source."""
