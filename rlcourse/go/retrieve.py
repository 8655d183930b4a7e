"""Neighbors for a player: from the boards in front of it through a database to what a model sees.

Humphreys et al., "Large-Scale Retrieval for Reinforcement Learning", NeurIPS 2022, section 3: the
position o_t is the query, and its N nearest stored positions x^1 .. x^N, each with what followed in
its game, are fed to the network beside it. `agent.SearchAgent` takes a `FromDatabase` as
`retrieve`.
"""

import hashlib
from typing import TYPE_CHECKING

from rlcourse.go.board import Go, State
from rlcourse.go.inputs import NUM_NEXT, neighbor_planes
from rlcourse.go.retrieved import Retrieved

if TYPE_CHECKING:
    from rlcourse.go.database import Database


class FromDatabase:
    """The nearest positions of a database, drawn in the frame of each board.

    The game at hand is none that is stored: no game is left out. Where a database has halves, both
    answer.

    Args:
        database: built or loaded.
        k: neighbors of each board, N in the paper.
        num_next: next moves of each that the model sees, as in its training.

    Raises:
        ValueError: k < 1.
    """

    def __init__(self, database: "Database", k: int, num_next: int = NUM_NEXT) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}: without neighbors, retrieve=None")
        self.database, self.k, self.num_next = database, k, num_next

    @property
    def fingerprint(self) -> str:
        """Of all that decides what is found and shown; another one after the database changed."""
        parts = (self.database.fingerprint, self.k, self.num_next)
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]

    def __call__(self, go: Go, state: State) -> Retrieved:
        """The neighbors of B boards, on their device.

        Raises:
            ValueError: boards of other rules than the database's positions.
        """
        stored_rules = self.database.positions.rules
        if (go.rules.size, go.rules.komi) != (stored_rules.size, stored_rules.komi):
            raise ValueError(
                f"the database holds positions of {stored_rules}, got boards of {go.rules}: choose"
                " the database of these rules"
            )
        planes = go.planes(state)
        found = self.database.retrieve(planes, self.k)
        # Where there is no neighbor any position may stand in its place.
        stored = self.database.positions.batch(found.ids.clamp(min=0).flatten().cpu())
        shown = neighbor_planes(
            stored, found.symmetry, planes, present=found.ids >= 0, num_next=self.num_next
        )
        return Retrieved(shown, found.ids, found.symmetry, found.distances)
