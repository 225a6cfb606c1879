from itertools import permutations

import numpy as np

from flywheel.curate.dedup.kernels import band_rows, hash_lists


def test_lists_that_differ_in_one_value_in_their_order_or_length_have_different_hashes() -> None:
    lists = {(), (7,), (7, 7), (7, 7, 7), (0,), (0, 0)}
    for size in range(1, 6):
        lists |= set(permutations(range(1, 7), size))
        lists |= {tuple(1 + (i == changed) * 9 for i in range(size)) for changed in range(size)}
    ordered = sorted(lists)
    values = np.array([value for row in ordered for value in row], np.uint32)
    offsets = np.cumsum([0, *map(len, ordered)])

    hashes = hash_lists(offsets, values)

    assert len(np.unique(hashes)) == len(ordered)
    assert hash_lists(offsets, values).tolist() == hashes.tolist()


def test_bands_of_the_same_values_in_another_order_or_place_have_different_hashes() -> None:
    signatures = np.array([[*row, *row] for row in permutations(range(4))], np.uint32)
    hashes = np.empty((len(signatures), 2), np.uint64)

    band_rows(signatures, 4, hashes)

    assert len(np.unique(hashes)) == hashes.size
