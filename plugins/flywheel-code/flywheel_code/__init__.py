"""Flywheel filters for conversations about code."""
