"""Splits, mixtures and coverage."""
