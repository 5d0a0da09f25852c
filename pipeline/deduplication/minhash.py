"""MinHash signatures of token 5-grams in numpy, equal bit for bit to datasketch's.

    signature(shingle_hashes(tokens), K)  ==  datasketch.MinHash(K, hashfunc=shingle_hash).hashvalues

The hash family is datasketch 2's `affine32`: one MurmurHash3 finalizer over the shingle's 32-bit hash, then
`a*h + b mod 2**32` with odd `a`. It is a bijection, so two shingles never collide in a row; the older
`(a*h + b) mod (2**61 - 1)` on 32-bit values lost four points of precision and of recall in a trial.

Compiled by numba a signature takes half the time, 0.05 ms less; but to load numba and the compiled function takes 0.6 s
of CPU and 130 MB in each page process, which is replaced after 5,000 pages. Signatures of many pages in one go, a row
of the permutations at a time, take half the time over blocks of 65,536 shingles (a hundred pages, 0.04 ms less a page),
and twice the time over 4,096, which the first-level cache holds. A dictionary of the pages' tokens does not pay.

A signature is used twice. Cut into `bands` of `rows`, each hashed to one 64-bit key, it finds candidates; its lowest
byte per row, the *sketch*, then estimates the Jaccard similarity of each candidate pair:

    P(candidate | J)  = 1 - (1 - J**rows)**bands
    sd(estimate | J) ~= sqrt(J * (1 - J) / (bands * rows))        0.033 at J = 0.8 and 144 rows
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh32_digest, xxh32_intdigest

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

SHINGLE = 5  # tokens; FineWeb, Lee 2022, RefinedWeb, DCLM and marin all take word 5-grams
_BLOCK = 256  # shingles at a time: with 144 rows three tables of 147 kB, which fit the second-level cache
_CHANCE = 1 / 256  # share of unequal rows whose lowest bytes agree


@cache
def _weights(size: int) -> U64:
    return np.random.RandomState(5).randint(0, 1 << 63, size, np.uint64) * np.uint64(2) + np.uint64(1)


def shingle_hashes(tokens: list[str], size: int = SHINGLE) -> U32:
    """A 32-bit hash of every `size` consecutive tokens; empty when there are fewer tokens.

    The upper half of the sum of xxh32(token) times the 64-bit weight of its position: multiply-shift hashing of
    vectors, with which two different shingles collide with probability 2**-32. Hashing tokens and adding in numpy
    costs a quarter of hashing every shingle.
    """
    if len(tokens) < size:
        return np.empty(0, np.uint32)
    digests = b"".join(map(xxh32_digest, map(str.encode, tokens)))
    words = np.frombuffer(digests, ">u4").astype(np.uint64)
    return (np.correlate(words, _weights(size), "valid") >> np.uint64(32)).astype(np.uint32)


def shingle_hash(shingle: bytes) -> int:
    """The same hash of one shingle, its tokens joined by spaces: datasketch takes it as `hashfunc`."""
    words = shingle.split(b" ")
    weights: list[int] = _weights(len(words)).tolist()
    total = sum(xxh32_intdigest(word) * weight for word, weight in zip(words, weights, strict=True))
    return (total % (1 << 64)) >> 32


@cache
def permutations(rows: int, seed: int = 1) -> tuple[U32, U32]:
    """The `a` (odd) and `b` of each row, drawn as datasketch draws them, so that the values agree."""
    random = np.random.RandomState(seed)
    a = random.randint(0, 1 << 31, rows, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = random.randint(0, 1 << 32, rows, dtype=np.uint32)
    return a, b


@cache
def _tables(rows: int, seed: int) -> tuple[U32, U32]:
    """`permutations` for every shingle of a block: NumPy is twice as fast without broadcasting."""
    a, b = permutations(rows, seed)
    return np.tile(a, (_BLOCK, 1)), np.tile(b, (_BLOCK, 1))


def _finalize(h: U32) -> U32:
    """MurmurHash3's 32-bit finalizer: a fixed bijection that spreads structured input over all bits."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def signature(hashes: U32, rows: int, seed: int = 1) -> U32:
    """The smallest permuted hash per row; all ones for no hashes (as datasketch's empty MinHash)."""
    a, b = _tables(rows, seed)
    smallest = np.full(rows, 0xFFFFFFFF, np.uint32)
    mixed = _finalize(hashes)[:, None]
    block = np.empty((min(_BLOCK, len(mixed)), rows), np.uint32)
    for start in range(0, len(mixed), _BLOCK):
        part = mixed[start : start + _BLOCK]
        permuted = block[: len(part)]
        permuted[:] = part
        permuted *= a[: len(part)]
        permuted += b[: len(part)]
        np.minimum(smallest, permuted.min(axis=0), out=smallest)
    return smallest


def band_keys(values: U32, bands: int, rows: int) -> U64:
    """One 64-bit key per band. The number of the band is the seed, so that equal rows in different bands differ."""
    data = values.astype("<u4").tobytes()
    size = 4 * rows
    keys = [xxh3_64_intdigest(data[i * size : (i + 1) * size], i) for i in range(bands)]
    return np.array(keys, np.uint64)


def sketch(values: U32) -> U8:
    """The lowest byte of every row: a quarter of the size, and almost no loss to the estimate."""
    return values.astype(np.uint8)


def similarity(agreeing: NDArray[np.integer] | int, rows: int) -> NDArray[np.float64]:
    """Estimated Jaccard similarity from the number of agreeing sketch bytes, corrected for chance agreement."""
    return np.clip((np.asarray(agreeing) / rows - _CHANCE) / (1 - _CHANCE), 0.0, 1.0)


def agreement_for(threshold: float, rows: int) -> int:
    """The smallest number of agreeing bytes whose estimated similarity reaches the threshold."""
    return math.ceil(round(rows * (threshold * (1 - _CHANCE) + _CHANCE), 9))
