"""The drawings and the widget of notebook 16."""

import pytest
import torch
from matplotlib.figure import Figure

from rlcourse.go.arena import games_needed, wilson_interval
from rlcourse.go.plain_search import plant, puct, simulate_
from rlcourse.go.worlds import Nim
from rlcourse.viz import search_pictures
from rlcourse.viz.search_widget import SearchExplorer, Stage, Watched


def title(figure: Figure) -> str:
    return figure.axes[0].get_title(loc="left") + figure.axes[0].get_title()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_parts_of_a_score_stand_on_each_other_and_the_highest_is_bold():
    known, scores = torch.tensor([0.1, -0.3, 0.2]), torch.tensor([0.4, 0.5, 0.25])
    figure = search_pictures.score_parts(["a", "b", "c"], known, scores)
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars[:3]] == pytest.approx(known.tolist())
    tops = [bar.get_y() + bar.get_height() for bar in bars[3:]]
    assert tops == pytest.approx(scores.tolist())
    bold = [t.get_text() for t in figure.axes[0].texts if t.get_weight() == "bold"]
    assert bold == ["0.50"]


def test_the_tree_shows_each_node_with_its_visits_and_moves():
    forest = plant(Nim().root([2]), 10)
    for _ in range(3):
        simulate_(forest, Nim().recurrent)
    tree = forest.trees[0]
    words = texts(search_pictures.tree_picture(tree, ["1", "2", "3"]))
    assert len(words) == 3 * tree.num_nodes - 1
    assert f"{tree.value(0):+.2f}" in words
    assert words.count("-1.00") >= 1  # who would be next after the last match


def test_shares_of_visits_and_games_are_percent():
    visits = torch.tensor([[1, 0], [1, 3]])
    figure = search_pictures.visits_over_simulations([1, 4], visits, ["a", "b"], "Two moves")
    lines = figure.axes[0].get_lines()
    assert lines[1].get_ydata().tolist() == [0.0, 75.0]
    assert title(figure) == "Two moves"

    def ends(wins, games):
        return wilson_interval(wins, games)[1:]

    figure = search_pictures.win_rates({"one": (3, 4), "other": (0.5, 2)}, ends)
    first = figure.axes[0].get_lines()[0].get_xdata()
    assert first == pytest.approx([100 * x for x in ends(3, 4)])
    assert "3 of 4" in texts(figure)
    assert "0.5 of 2" in texts(figure)


def test_the_games_that_are_needed_are_marked():
    figure = search_pictures.needed(games_needed, marks=(50,))
    assert texts(figure) == [f"50 Elo, 57%: {games_needed(50):,} games"]


def test_gains_are_points_with_both_ends():
    figure = search_pictures.gains(([0, 8], [0.01, 0.1], [-0.02, 0.05], [0.03, 0.2]))
    (dots, _, (bars,)) = figure.axes[0].containers[0]
    assert dots.get_ydata().tolist() == pytest.approx([1.0, 10.0])
    assert bars.get_segments()[1][:, 1].tolist() == pytest.approx([5.0, 20.0])


def test_distances_are_shares_below():
    before, after = torch.tensor([4.0, 2.0]), torch.tensor([1.0, 3.0])
    figure = search_pictures.distances(before, after, ("as it was", "with the games"))
    line = figure.axes[0].get_lines()[0]
    assert line.get_xdata().tolist() == [2.0, 4.0]
    assert line.get_ydata().tolist() == [50.0, 100.0]
    assert line.get_label() == "as it was: mean 3"


def watched(name: str, favorite: int = 0) -> Watched:
    """A 2x2 board; the search turns to move 3 at its second simulation."""
    prior = torch.full((5,), 0.1)
    prior[favorite] = 0.6
    none, q = torch.zeros(5, dtype=torch.int64), torch.tensor([0.0, 0.0, 0.0, 0.5, 0.0])
    first, second = none.clone(), none.clone()
    first[0], second[0], second[3] = 1, 1, 2
    stages = [
        Stage(0, none, none.float(), 0.1, []),
        Stage(1, first, q, 0.2, [0]),
        Stage(3, second, q, 0.3, [3, 1]),
    ]
    return Watched(name, torch.tensor([0, 1, 0, 0]), 1, prior, stages)


def test_the_slider_shows_where_the_search_turns():
    explorer = SearchExplorer([watched("early"), watched("late", favorite=2)])
    explorer.simulations.value = 2
    assert explorer.stage.num_simulations == 3
    policy, visits, line = explorer.boards
    assert policy.policy[0] == pytest.approx(0.6)
    assert visits.visits.tolist() == [1, 0, 0, 2, 0]
    assert list(line.next_moves) == [3, 1]
    assert explorer.sentence == (
        "Most visited: B1, where the policy wanted A2; its Q +0.50. Value of the position +0.30, by"
        " the network alone +0.10."
    )
    before = explorer.picture.value
    explorer.simulations.value = 1
    assert "as the policy would" in explorer.sentence
    assert explorer.picture.value != before
    explorer.simulations.value = 0
    assert explorer.words.value == "The policy would play A2. Value +0.10."
    explorer.position.value = 1
    assert explorer.words.value == "The policy would play A1. Value +0.10."
    assert "policy, in %" in explorer._repr_mimebundle_()["text/plain"]


def test_positions_must_have_been_searched_alike():
    other = watched("other")
    with pytest.raises(ValueError, match="searched with the same simulations"):
        SearchExplorer([watched("one"), other._replace(stages=other.stages[:2])])
    with pytest.raises(ValueError, match="searched with the same simulations"):
        SearchExplorer([])


def test_pictures_take_what_an_exercise_gives():
    found = puct(torch.tensor([0.5, 0.5]).double(), torch.tensor([1, 0]), torch.zeros(2), 0.0)
    assert isinstance(search_pictures.score_parts(["a", "b"], torch.zeros(2), found), Figure)
