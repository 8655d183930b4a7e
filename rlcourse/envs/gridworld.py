"""Gridworlds drawn as text, and their exact transition tables.

    #  wall          S  start (several: one is drawn uniformly; none: any floor cell)
    .  floor         G  goal: arriving ends the episode with `goal_reward`
                     X  pit: arriving ends the episode with `pit_reward`

A move into a wall, or off the map, leaves the agent where it is. With probability `slip` the move
is replaced by one drawn uniformly from all four.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse.envs.mdp import TabularMDP

ACTIONS = ("up", "right", "down", "left")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column), in the order of ACTIONS
SYMBOLS = "#.SGX"

MAPS = {
    "open room": """
        #########
        #S......#
        #.......#
        #.......#
        #.......#
        #.......#
        #.......#
        #......G#
        #########""",
    "four rooms": """
        #############
        #S....#.....#
        #.....#.....#
        #...........#
        #.....#.....#
        #.....#.....#
        ##.####.....#
        #.....###.###
        #.....#.....#
        #.....#.....#
        #...........#
        #.....#....G#
        #############""",
    "two rooms": """
        ##############
        #....####....#
        #....####...G#
        #S...........#
        #....####....#
        ##############""",
    "bridge": """
        ###########
        #.........#
        #.#######.#
        #.#XXXXX#.#
        #S.......G#
        ###XXXXX###
        ###########""",
    "two corridors": """
        ###########
        #.........#
        #.#######.#
        #.#.....#.#
        #S..###..G#
        #.#.....#.#
        #.#######.#
        #.........#
        ###########""",
}


@dataclass(frozen=True)
class Gridworld:
    """A map. States are its cells other than walls, numbered row by row.

    Attributes:
        rows: equally long strings over `SYMBOLS`.
    """

    rows: tuple[str, ...]

    @staticmethod
    def from_ascii(text: str) -> "Gridworld":
        """Reads a map; blank lines and indentation are ignored.

        Raises:
            ValueError: for an empty map, rows of different lengths, an unknown symbol or a map
                without floor.
        """
        rows = tuple(line.strip() for line in text.strip().splitlines() if line.strip())
        if not rows:
            raise ValueError("the map is empty: draw at least one row, for example '#S.G#'")
        for number, row in enumerate(rows):
            if len(row) != len(rows[0]):
                raise ValueError(
                    f"row {number} is {len(row)} cells wide and row 0 is {len(rows[0])}: "
                    "make all rows equally long"
                )
            unknown = sorted(set(row) - set(SYMBOLS))
            if unknown:
                raise ValueError(
                    f"row {number} holds {unknown}: a map is drawn with {list(SYMBOLS)}"
                )
        grid = Gridworld(rows)
        if not grid.start_states:
            raise ValueError("the map has no cell to start from: draw at least one '.' or 'S'")
        return grid

    @staticmethod
    def named(name: str) -> "Gridworld":
        """One of `MAPS`. Raises ValueError for another name."""
        if name not in MAPS:
            raise ValueError(f"no map is called {name!r}; there are {sorted(MAPS)}")
        return Gridworld.from_ascii(MAPS[name])

    @property
    def height(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        return len(self.rows[0])

    @cached_property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """(row, column) of each state."""
        return tuple(
            (row, column)
            for row in range(self.height)
            for column in range(self.width)
            if self.rows[row][column] != "#"
        )

    @cached_property
    def state_at(self) -> dict[tuple[int, int], int]:
        """The state of each cell that is not a wall."""
        return {cell: state for state, cell in enumerate(self.cells)}

    def states_of(self, symbol: str) -> tuple[int, ...]:
        """The states drawn with this symbol."""
        return tuple(
            s for s, (row, column) in enumerate(self.cells) if self.rows[row][column] == symbol
        )

    @property
    def start_states(self) -> tuple[int, ...]:
        return self.states_of("S") or self.states_of(".")

    def with_cell(self, row: int, column: int, symbol: str) -> "Gridworld":
        """The map with one cell redrawn. Raises ValueError as `from_ascii` does, or for a cell off
        the map.
        """
        if not (0 <= row < self.height and 0 <= column < self.width):
            raise ValueError(f"cell ({row}, {column}) is off the {self.height} x {self.width} map")
        changed = self.rows[row][:column] + symbol + self.rows[row][column + 1 :]
        return Gridworld.from_ascii("\n".join(self.rows[:row] + (changed,) + self.rows[row + 1 :]))

    def with_goals(self, cells: Iterable[tuple[int, int]]) -> "Gridworld":
        """The map with its goals replaced by these cells. Raises ValueError for a wall."""
        grid = Gridworld(tuple(row.replace("G", ".") for row in self.rows))
        for row, column in cells:
            if (row, column) not in grid.state_at:
                raise ValueError(f"the goal ({row}, {column}) lies in a wall or off the map")
            grid = grid.with_cell(row, column, "G")
        return grid

    def destinations(self, device: torch.device | str | None = None) -> Int[Tensor, "S A"]:
        """The state that each move leads to, when it does not slip; on the CPU if None."""
        return torch.tensor(
            [
                [self.state_at.get((row + down, column + right), state) for down, right in MOVES]
                for state, (row, column) in enumerate(self.cells)
            ],
            device=device or "cpu",
        )

    def mdp(
        self,
        goal_reward: float = 1.0,
        pit_reward: float = -1.0,
        step_reward: float = 0.0,
        slip: float = 0.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> TabularMDP:
        """The exact transition table of this map.

        Args:
            goal_reward, pit_reward: received on arriving in such a cell.
            step_reward: received at every step, on top of those.
            slip: probability in [0, 1] that the move is replaced by a uniformly drawn one.
            dtype: of rewards and probabilities.
            device: of all tensors; the CPU if None.

        Raises:
            ValueError: for a slip outside [0, 1].
        """
        if not 0.0 <= slip <= 1.0:
            raise ValueError(f"slip is a probability, got {slip}")
        num_states, num_actions = len(self.cells), len(ACTIONS)
        real = {"dtype": dtype, "device": device or "cpu"}
        arrival_reward = torch.full((num_states,), step_reward, **real)
        continues, initial = torch.ones(num_states, **real), torch.zeros(num_states, **real)
        for symbol, reward in (("G", goal_reward), ("X", pit_reward)):
            states = list(self.states_of(symbol))
            arrival_reward[states] += reward
            continues[states] = 0.0
        initial[list(self.start_states)] = 1.0 / len(self.start_states)
        destinations = self.destinations(device)
        if slip == 0.0:
            successors = destinations.unsqueeze(-1)  # [S, A, 1]
            probabilities = torch.ones(num_states, num_actions, 1, **real)
        else:
            successors = (
                destinations.unsqueeze(1).expand(-1, num_actions, -1).contiguous()
            )  # [S, A, A]
            intended = torch.eye(num_actions, **real) * (1.0 - slip)
            probabilities = (intended + slip / num_actions).expand(num_states, -1, -1).contiguous()
        return TabularMDP(
            reward=arrival_reward[successors],
            successors=successors,
            probabilities=probabilities,
            continues=continues,
            initial=initial,
        )

    def to_grid(
        self, values: Float[Tensor, " S"], fill: float = float("nan")
    ) -> Float[Tensor, "H W"]:
        """Values per state laid out on the map, walls filled with `fill`."""
        grid = torch.full((self.height, self.width), fill, dtype=values.dtype)
        rows, columns = zip(*self.cells, strict=True)
        grid[list(rows), list(columns)] = values.cpu()
        return grid
