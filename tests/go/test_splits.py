"""Games by their numbers: keys and hashes."""

import numpy as np
import torch

from rlcourse.go.splits import game_key, half_of, splitmix64


def test_games_of_different_sources_have_different_keys_in_the_same_half():
    numbers, sources = torch.tensor([0, 1, 2**32 - 1]), torch.arange(3).unsqueeze(1)
    keys = game_key(numbers, sources)
    assert torch.equal(keys[0], numbers)
    assert len(keys.unique()) == 9
    assert torch.equal(half_of(keys), half_of(numbers).expand(3, -1))
    assert game_key(5, 2) == 2 * 2**32 + 5


def test_splitmix64_is_the_published_one():
    """The first three numbers of the generator that starts at 0, whose state grows by the golden
    ratio.
    """
    states = np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert splitmix64(states).tolist() == expected
