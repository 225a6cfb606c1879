"""Profiles, plots and the ways of a row."""
