import datasketch
import numpy as np
import polars as pl
import pytest

from flywheel.curate.dedup.minhash import Bands, band_hashes, lsh_bands, minhash
from flywheel.curate.dedup.shingles import hash_tokens, shingle
from flywheel_tests.curate.dedup.test_shingles import random_texts


def identity(value: int) -> int:
    return value


@pytest.mark.parametrize("permutations", [16, 128, 256])
def test_signatures_equal_datasketch_bit_for_bit(permutations: int) -> None:
    sets = shingle(pl.Series([*random_texts(200), ""]))

    signatures = minhash(sets, permutations=permutations)

    for i, signature in enumerate(signatures):
        theirs = datasketch.MinHash(num_perm=permutations, hashfunc=identity)
        theirs.update_batch([int(value) for value in sets.row(i)])
        assert signature.dtype == theirs.hashvalues.dtype
        assert signature.tobytes() == theirs.hashvalues.tobytes()


def test_signatures_of_foreign_hashes_equal_datasketch_too() -> None:
    tokens = [b"minhash", b"is", b"a", b"probabilistic", b"data", b"structure"]
    theirs = datasketch.MinHash()
    theirs.update_batch(tokens)

    ours = minhash(hash_tokens([[datasketch.sha1_hash32(token) for token in tokens]]))

    assert ours[0].tolist() == theirs.hashvalues.tolist()


def test_sets_that_datasketch_puts_in_one_bucket_share_the_band() -> None:
    sets = shingle(pl.Series(["a b c d e f g h i j k", "a b c d e f g h i j z", "q r s t u v w", "a b c d e f g h i j k"]))
    layout = Bands(20, 4)
    signatures = minhash(sets, permutations=80).reshape(4, 20, 4)

    hashes = band_hashes(sets, layout)

    for i in range(4):
        for j in range(4):
            assert ((hashes[i] == hashes[j]) == (signatures[i] == signatures[j]).all(axis=1)).all()
    assert len(np.unique(hashes[0])) == 20


def test_bands_come_from_datasketchs_optimiser() -> None:
    lsh = datasketch.MinHashLSH(threshold=0.8, num_perm=128, weights=(0.01, 0.99))

    assert lsh_bands(0.8, 128) == (lsh.b, lsh.r) == (18, 7)
