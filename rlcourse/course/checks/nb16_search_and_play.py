"""The checks of notebook 16: a search in three steps, and what a score of games says."""

from rlcourse.course.checks import inputs_16 as inputs
from rlcourse.course.checks import wrong_16 as wrong
from rlcourse.course.grading import Exercise
from rlcourse.go.arena import games_needed, wilson_interval
from rlcourse.go.plain_search import backup_, expand_, puct


def wilson(wins: float, num_games: int, z: float = 1.96) -> tuple[float, float]:
    """Both ends of `arena.wilson_interval`."""
    found = wilson_interval(wins, num_games, z)
    return found.low, found.high


EXERCISES = (
    Exercise(
        id="16.puct",
        reference=puct,
        cases=inputs.nodes,
        mistakes=wrong.OF_PUCT,
        facts=(inputs.the_best_of_equals_is_the_least_tried,),
    ),
    Exercise(
        id="16.expand",
        reference=expand_,
        cases=inputs.new_nodes,
        mistakes=wrong.OF_EXPAND,
        writes="tree",
    ),
    Exercise(
        id="16.backup",
        reference=backup_,
        cases=inputs.new_values,
        mistakes=wrong.OF_BACKUP,
        facts=(inputs.a_loss_below_is_a_gain_above,),
        writes="tree",
    ),
    Exercise(
        id="16.wilson",
        reference=wilson,
        cases=inputs.scores,
        mistakes=wrong.OF_WILSON,
        facts=(inputs.shares_stay_shares,),
    ),
    Exercise(
        id="16.games_needed",
        reference=games_needed,
        cases=inputs.differences,
        mistakes=wrong.OF_NEEDED,
    ),
)
