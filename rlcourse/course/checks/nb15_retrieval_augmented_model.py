"""The checks of notebook 15: Eq. 2, halves, exchanged neighbors, the unroll's losses, a gain."""

from rlcourse.course.checks import inputs_15 as inputs
from rlcourse.course.checks import wrong_15 as wrong
from rlcourse.course.checks import wrong_15_losses as wrong_losses
from rlcourse.course.grading import Exercise
from rlcourse.experiments import go_retrieval_lesson as lesson
from rlcourse.experiments.go_retrieval_gain import gain
from rlcourse.go.learn import unrolled_losses
from rlcourse.go.model import join

EXERCISES = (
    Exercise(
        id="15.fuse",
        reference=join,
        cases=inputs.embeddings,
        mistakes=wrong.OF_FUSE,
        facts=(
            inputs.the_order_of_neighbors_does_not_matter,
            inputs.what_an_absent_neighbor_holds_does_not_matter,
        ),
    ),
    Exercise(
        id="15.in_halves",
        reference=lesson.neighbors_in_halves,
        cases=inputs.keys_of_games,
        mistakes=wrong.OF_HALVES,
        facts=(inputs.no_position_finds_its_game,),
    ),
    Exercise(
        id="15.exchange",
        reference=lesson.exchanged,
        cases=inputs.neighbors_to_exchange,
        mistakes=wrong.OF_EXCHANGE,
        facts=(inputs.nothing_chosen_changes_nothing,),
    ),
    Exercise(
        id="15.unrolled_losses",
        reference=unrolled_losses,
        cases=inputs.unrolls,
        mistakes=wrong_losses.OF_LOSSES,
        facts=(inputs.a_perfect_prediction_costs_nothing,),
    ),
    Exercise(
        id="15.gain",
        reference=gain,
        cases=inputs.sums_by_game,
        mistakes=wrong_losses.OF_GAIN,
        facts=(inputs.a_gain_in_every_game_has_no_width,),
    ),
)
