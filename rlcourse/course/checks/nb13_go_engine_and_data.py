"""The checks of notebook 13: the rules of Go on a batch of boards, and reading GTP."""

from rlcourse.course.checks import inputs_13 as inputs
from rlcourse.course.checks import wrong_13 as wrong
from rlcourse.course.grading import Exercise
from rlcourse.go import flood
from rlcourse.go.notation import RESIGN, move_of


def read_gtp(answer: str, size: int) -> tuple[int | None, str]:
    """The move that answers `genmove`, and "" ; or None, and why the engine refused."""
    head, *words = answer.split()
    if head.startswith("?"):
        return None, " ".join(words)
    (vertex,) = words
    return RESIGN if vertex.lower() == "resign" else move_of(vertex, size), ""


EXERCISES = (
    Exercise(
        id="13.flood",
        reference=flood.flood,
        cases=inputs.floods,
        mistakes=wrong.OF_FLOOD,
        facts=(inputs.a_flood_stops_at_walls,),
    ),
    Exercise(
        id="13.liberties",
        reference=flood.liberties,
        cases=inputs.points_on_boards,
        mistakes=wrong.OF_LIBERTIES,
        facts=(inputs.a_chain_of_three_has_five_liberties,),
    ),
    Exercise(
        id="13.play",
        reference=flood.play,
        cases=inputs.moves_on_boards,
        mistakes=wrong.OF_PLAY,
        facts=(inputs.a_snapback_takes_back_more,),
    ),
    Exercise(
        id="13.area_score",
        reference=flood.area_score,
        cases=inputs.ends_of_games,
        mistakes=wrong.OF_SCORE,
        facts=(inputs.komi_shifts_every_score,),
    ),
    Exercise(
        id="13.read_gtp",
        reference=read_gtp,
        cases=inputs.answers,
        mistakes=wrong.OF_GTP,
    ),
)
