"""A Go board with a choice of opponents: yourself, random moves, GNU Go where it is installed, and
agents, whose search and retrieved positions are shown beside the board.

Built on `BoardWidget`; ipywidgets 7 and 8.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from rlcourse.go.agent import SearchAgent
from rlcourse.go.board import Go, State
from rlcourse.go.conversation import gnu_go_missing
from rlcourse.go.gtp import Engine, gnu_go_command
from rlcourse.go.gtp_server import random_player
from rlcourse.go.rules import BLACK, WHITE, Rules
from rlcourse.viz.agent_panel import ThinkingOpponent
from rlcourse.viz.board_widget import BoardWidget
from rlcourse.viz.map_editor import notice
from rlcourse.viz.widgets import static_bundle

YOURSELF, RANDOM, GNU_GO = "yourself, both colors", "random moves", "GNU Go"


class EnginePlayer:
    """An engine that answers in a game which may jump, as when a move is taken back.

    Args:
        command: the engine's program and arguments.
        rules: of the game.
    """

    def __init__(self, command: Sequence[str], rules: Rules) -> None:
        self._command, self._rules = command, rules
        self._engine: Engine | None = None
        self._told: list[int] = []

    def answer(self, moves: Sequence[int]) -> int:
        """The engine's move after these, black's first. It is started when first asked.

        Raises:
            EngineError: it failed; the next call starts it anew.
        """
        try:
            return self._answer(moves)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Ends the engine's program."""
        if self._engine is not None:
            self._engine.close()
        self._engine, self._told = None, []

    def _answer(self, moves: Sequence[int]) -> int:
        if self._engine is None:
            self._engine = Engine(self._command, self._rules)
        elif list(moves[: len(self._told)]) != self._told:
            self._engine.new_game()
            self._told = []
        for turn in range(len(self._told), len(moves)):
            self._engine.play(_color(turn), moves[turn])
        move = self._engine.genmove(_color(len(moves)))
        self._told = [*moves, move]
        return move


class OpponentBoard:
    """The board, and a menu of opponents above it. Another opponent begins another game.

    Args:
        rules: of the board.
        level: of GNU Go.
        opponent: the first one, as in the menu; None: the first agent, else GNU Go where it is
            installed, else random moves.
        seed: of the random moves.
        agents: more opponents, by their names in the menu.

    Attributes:
        board: the `BoardWidget` of the game.
        menu: the choice of opponents.
        note: says what is missing, if anything is.
        widget: to display.

    Raises:
        ValueError: for an opponent that is not in the menu.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        level: int = 3,
        opponent: str | None = None,
        seed: int = 0,
        agents: Mapping[str, SearchAgent] | None = None,
    ) -> None:
        self._rules, self._level, self._seed = rules, level, seed
        self._agents = dict(agents or {})
        missing = gnu_go_missing(rules)
        choices = [YOURSELF, RANDOM] + ([] if missing else [GNU_GO])
        opponent = opponent or next(iter(self._agents), choices[-1])
        choices += self._agents
        if opponent not in choices:
            raise ValueError(f"no opponent {opponent!r} here; there are: {', '.join(choices)}")
        self._engine: EnginePlayer | None = None
        self.menu = widgets.Dropdown(
            options=choices,
            value=opponent,
            description="Opponent",
            style={"description_width": "72px"},
        )
        self.note = widgets.HTML(notice(missing, "pit") if missing else "")
        self._place = widgets.VBox()
        self.widget = widgets.VBox([self.menu, self.note, self._place])
        self.menu.observe(lambda change: self._begin(), names="value")
        self._begin()

    def close(self) -> None:
        """Ends the engine, if one runs."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _begin(self) -> None:
        self.close()
        go = Go(self._rules)
        if self.menu.value in self._agents:
            thinking = ThinkingOpponent(self._agents[self.menu.value], go)
            self.board = BoardWidget(go, thinking.answer, panel=thinking.panel)
        else:
            self.board = BoardWidget(go, self._opponent(go))
        self._place.children = (self.board.widget,)

    def _opponent(self, go: Go) -> Callable[[State], int] | None:
        if self.menu.value == YOURSELF:
            return None
        if self.menu.value == RANDOM:
            player = random_player(self._seed)
            return lambda state: player(go, state)
        self._engine = EnginePlayer(gnu_go_command(self._level, self._rules), self._rules)
        return lambda state: self._engine.answer(self.board.moves)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        still = self.board._repr_mimebundle_()
        return static_bundle(self.widget, still["text/html"], still["text/plain"])


def _color(turn: int) -> int:
    return WHITE if turn % 2 else BLACK
