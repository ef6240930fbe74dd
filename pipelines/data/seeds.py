"""Seeds as a pure function of what they are for, so that nothing but counters has to be remembered."""

from __future__ import annotations

import numpy as np


def derive_seed(seed: int, *path: int) -> int:
    """Give the 32-bit seed of one draw.

    Equal arguments give equal seeds in every process; different ones give unrelated seeds (NumPy's ``SeedSequence``),
    save that zeros at the end of ``path`` do not count. So no stream may have paths of two lengths.

    Args:
        seed: the user's seed.
        path: what the draw is for: a stream, an epoch, a sample's number; none may be negative, or 2**32 and more.
    """
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0])


def derive_generator(seed: int, *path: int) -> np.random.Generator:
    """Give a generator that starts at :func:`derive_seed`'s state for the same arguments."""
    return np.random.default_rng(np.random.SeedSequence([seed, *path]))
