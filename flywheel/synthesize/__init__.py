"""New records from seeds."""
