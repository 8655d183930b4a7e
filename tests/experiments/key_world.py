"""A few shipped games, their positions, and a small network, for tests of keys."""

from functools import lru_cache

import torch

from rlcourse.experiments import go_lookup
from rlcourse.go import shipped
from rlcourse.go.positions import Positions
from rlcourse.go.prediction import PredictionNetwork

LAYERS = ("policy", "value")


@lru_cache
def games():
    rules, everything = shipped.load_games()
    return rules, go_lookup.some_games(everything, 5, 2)


def positions_in(folder) -> Positions:
    rules, some = games()
    return go_lookup.positions_of(folder, rules, some, progress=False)


def small_network() -> PredictionNetwork:
    return PredictionNetwork(6, 1, 4, torch.Generator().manual_seed(2)).eval()
