"""Duplicates: exact repeats, near-duplicates, conversations that another one continues, and ids delivered twice.

`signatures.sign` hashes a batch of records, `duplicates.find_duplicates` compares all days' hashes. They are imported from
their modules, because numba takes half a second that a reader of this package need not spend.
"""
