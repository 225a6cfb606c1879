"""Records to the same records, cleaned, scrubbed, deduplicated and judged."""
