"""Which matches `go_play` plays."""

from dataclasses import dataclass
from typing import NamedTuple

from rlcourse.experiments.go_play_world import BASELINE, check_opponent, num_neighbors
from rlcourse.experiments.settings import check_counts, check_names


@dataclass(frozen=True)
class Config:
    """Which matches; the paper has 200 simulations and Pachi with 400,000.

    Attributes:
        trained: folder of a run of `go_retrieval`; "": untrained models on a small board.
        index: of the database of trained models. Lists of keys can forget games; the codes that
            these models were trained with cannot.
        opponent: of all agents, see `go_play_world.SPECS`.
        variants: of the agents, "baseline" and "n" with a number of neighbors.
        retrieval: the variant that is compared with the baseline.
        simulations: at which these two play.
        main: simulations of all other agents, of the direct match and of the second match.
        num_pairs: of games, in each match.
        num_parallel: games at once; an engine needs three open files for each.
        stones: fewest and most random ones of an opening. The fewer, the more alike are games.
        num_looked_up: positions of each kind that the growing database is asked for.
        bin_width, num_bins: plies, in which distances are averaged.
        num_seeds: trainings.
        seed: of the openings.
    """

    trained: str = "runs/go_retrieval/laptop"
    index: str = "IVF1024,Flat"
    opponent: str = "gnugo:1:0.1"
    variants: tuple[str, ...] = (BASELINE, "n2", "n4", "n10")
    retrieval: str = "n4"
    simulations: tuple[int, ...] = (0, 8, 32, 64)
    main: int = 32
    num_pairs: int = 50
    num_parallel: int = 50
    stones: tuple[int, int] = (2, 2)
    num_looked_up: int = 1_000
    bin_width: int = 10
    num_bins: int = 8
    num_seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "num_pairs", "num_parallel", "num_looked_up", "bin_width", "num_bins")
        check_counts(self, "num_seeds")
        check_names(self, "variants")
        check_names(self, "simulations")
        check_opponent(self.opponent)
        for variant in self.variants:
            num_neighbors(variant)
        if BASELINE not in self.variants or self.retrieval not in set(self.variants) - {BASELINE}:
            raise ValueError(
                f"variants must hold {BASELINE!r} and the retrieval {self.retrieval!r}, got"
                f" {self.variants}"
            )
        if min(self.simulations) < 0 or list(self.simulations) != sorted(self.simulations):
            raise ValueError(f"simulations must ascend from 0 or more, got {self.simulations}")
        if self.main not in self.simulations:
            raise ValueError(f"main must be one of {self.simulations}, got {self.main}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    def matches(self) -> list["Pairing"]:
        """The matches of a seed, without those of the growing database."""
        compared = [
            Pairing(variant, number)
            for number in self.simulations
            for variant in (BASELINE, self.retrieval)
        ]
        others = [v for v in self.variants if v not in (BASELINE, self.retrieval)]
        direct = Pairing(self.retrieval, self.main, direct=True)
        return [*compared, *(Pairing(variant, self.main) for variant in others), direct]


class Pairing(NamedTuple):
    """A match of an agent."""

    variant: str
    simulations: int
    direct: bool = False  # against the baseline with as many simulations, not the opponent

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.variant}_{self.simulations}" + "_against_baseline" * self.direct
