"""Records to files that a trainer reads, with their manifest and dataset card."""
