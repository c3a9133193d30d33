"""Random numbers that are a function of what they are for, not of when they are asked.

Drawn from the raw words of a counter-based generator (Philox 4x64, Salmon et al., SC 2011): no state is shared between
samples, and no library version changes what a word is, as it may change how words become floats.
"""

import numpy as np

__all__ = ["Draws"]

_WORD = 1 << 64


class Draws:
    """The draws of one purpose: a stream of words for (seed, purpose, epoch, index).

    Args:
        seed: the run's seed.
        purpose: what the draws are for, 1 to 8 bytes; other purposes have unrelated streams.
        epoch: counted from 0.
        index: the sample's number, or 0 where the draws concern the whole epoch.
    """

    def __init__(self, seed: int, purpose: str, *, epoch: int = 0, index: int = 0) -> None:
        name = purpose.encode()
        assert 0 < len(name) <= 8, f"a purpose is a word of the key, 1 to 8 bytes: {purpose!r}"
        # counter = | words drawn so far | 0 | index | epoch |, key = | seed | purpose |
        key = np.array([seed % _WORD, int.from_bytes(name, "little")], dtype=np.uint64)
        counter = np.array([0, 0, index, epoch], dtype=np.uint64)
        self._words = np.random.Philox(key=key, counter=counter)

    def integer(self, bound: int) -> int:
        """One integer of 0 .. bound - 1, each as likely as the others (to 1 in 2^64 / bound)."""
        return int(self._words.random_raw()) * bound // _WORD

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number of [low, high)."""
        return low + (high - low) * (int(self._words.random_raw()) >> 11) * 2.0**-53

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.uniform() < probability

    def permutation(self, count: int) -> np.ndarray:
        """0 .. count - 1 in a drawn order, int64 `[count]`."""
        return np.argsort(self._words.random_raw(count), kind="stable")

    def distinct(self, count: int, population: int) -> np.ndarray:
        """`count` different integers of 0 .. population - 1 in a drawn order, int64 `[count]`.

        Takes time for `count`, however large the population.
        """
        assert count <= population, (count, population)
        if population <= 4 * count:
            return self.permutation(population)[:count]
        kept = np.empty(0, dtype=np.int64)
        while len(kept) < count:  # at most a quarter of the draws repeat an earlier one
            words = self._words.random_raw(count)
            fresh = ((words >> np.uint64(32)) * np.uint64(population) >> np.uint64(32)).astype(np.int64)
            drawn = np.concatenate((kept, fresh))
            kept = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        return kept[:count]
