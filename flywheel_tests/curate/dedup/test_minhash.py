import datasketch
import numpy as np
import polars as pl
import pytest

from flywheel.curate.dedup.minhash import Bands, band_hashes, lsh_bands, minhash
from flywheel.curate.dedup.shingles import hash_tokens, shingle
from flywheel_tests.curate.dedup.test_shingles import random_texts


def identity(value: int) -> int:
    return value


@pytest.mark.parametrize("permutations", [7, 16, 126, 128, 256])
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


@pytest.mark.parametrize("permutations", [16, 100, 128, 256])
def test_bands_are_those_of_datasketchs_optimiser(permutations: int) -> None:
    for similarity in (0.05, 0.25, 0.5, 0.65, 0.8, 0.9, 0.95):
        lsh = datasketch.MinHashLSH(threshold=similarity, num_perm=permutations, weights=(0.003, 0.997))

        assert lsh_bands(similarity, permutations) == (lsh.b, lsh.r)
    assert lsh_bands(0.8, 128) == (20, 6)
