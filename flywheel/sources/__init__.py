"""Logs to records: the line reader, one file a dialect, threads stitched from requests."""
