"""Random numbers that depend on what they are for, not on when they are drawn.

They are made from the raw words of a counter-based generator (Philox 4x64, Salmon et al., SC 2011). So samples share no
state. The words are the same in every library version, whereas the way from words to floats may change.
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
        index: the sample's number, or 0 if the draws concern the whole epoch.
    """

    def __init__(self, seed: int, purpose: str, *, epoch: int = 0, index: int = 0) -> None:
        name = purpose.encode()
        assert 0 < len(name) <= 8, f"a purpose is a word of the key, 1 to 8 bytes: {purpose!r}"
        # counter = | words drawn so far | 0 | index | epoch |, key = | seed | purpose |
        key = np.array([seed % _WORD, int.from_bytes(name, "little")], dtype=np.uint64)
        counter = np.array([0, 0, index, epoch], dtype=np.uint64)
        self._words = np.random.Philox(key=key, counter=counter)

    def integer(self, bound: int) -> int:
        """Draws an integer below `bound`, at least 0. All are equally likely (to 1 in 2^64 / bound)."""
        return int(self._words.random_raw()) * bound // _WORD

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draws one number from [low, high)."""
        return low + (high - low) * (int(self._words.random_raw()) >> 11) * 2.0**-53

    def chance(self, probability: float) -> bool:
        """Returns True with the given probability."""
        return self.uniform() < probability

    def permutation(self, count: int) -> np.ndarray:
        """Draws an order of 0 to `count` - 1, int64 `[count]`."""
        return np.argsort(self._words.random_raw(count), kind="stable")

    def distinct(self, count: int, population: int) -> np.ndarray:
        """Draws different integers below `population`, int64 `[count]`.

        Their order is drawn, too. The time it takes depends on `count` only, however large the population is.
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
