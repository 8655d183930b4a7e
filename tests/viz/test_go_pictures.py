"""The drawings of notebook 13 say what its text says."""

import base64
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import torch

from rlcourse.go.records import Game
from rlcourse.go.rules import Rules
from rlcourse.viz import go_pictures

CHAIN = ". . X . .\n. X X O .\n. O X O .\n. . X X .\n. . . . ."


def words(html) -> list[str]:
    encoded = re.search(r'base64,([^"]+)', html.data).group(1)
    root = ElementTree.fromstring(base64.b64decode(encoded))
    return [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_flood_reaches_stones_in_rounds_and_has_seven_liberties():
    said = words(go_pictures.growing_chain(CHAIN, "C4"))
    assert {"rounds", "7 liberties"} <= set(said)
    assert said.count("L") == 7
    coordinates = 2  # rows 1 to 5 of both boards
    found = [said.count(label) for label in "0123"]
    assert found == [1, 3 + coordinates, 1 + coordinates, 1 + coordinates]


def test_pseudo_liberties_tell_one_liberty_from_two():
    said = words(go_pictures.pseudo_liberties("OX.O\nOXXO\n.OO.\n....", "OX.O\nOXXO\n.O..\n...."))
    assert said == ["16 = 16", "2", "324 ≠ 196", "2", "1"]


def test_the_key_comes_back_with_the_position():
    first, second, third = words(go_pictures.keys_of_a_ko())
    assert first == third != second
    assert re.fullmatch("…[0-9a-f]{4}", first)


def test_the_four_moves_are_marked():
    said = words(go_pictures.rules_of_capture())
    assert [word for word in said if len(word) == 1] == list("abcd")


def test_final_boards_and_games_are_drawn_as_they_were():
    rules = Rules(5, 0.5)
    stones = torch.zeros(2, 5, 5, dtype=torch.int32)
    stones[0, 2, 2] = 1
    html = go_pictures.final_area(rules, stones, ["one stone", "empty"])
    assert words(html) == ["one stone", "empty"]
    game = Game(0, (12, 7, 25, 25), 0.5)
    said = words(go_pictures.game_in_pictures(rules, game, (1, 2)))
    assert [word for word in said if word != "pass"] == ["after 1", "after 2", "end"]
    text = go_pictures.game_in_pictures(rules, game, (1, 2)).data
    assert "1 black and 0 white stones" in text
    assert "1 black and 1 white stones" in text


def test_lengths_and_winners_count_every_game_once():
    games = [Game(n, (0,) * (n + 3), 1.5 if n % 3 else -0.5) for n in range(30)]
    lengths, winners = go_pictures.lengths_and_winners(games).axes
    assert sum(bar.get_height() for bar in lengths.patches) == 30
    widths = [bar.get_width() for bar in winners.patches]
    assert sum(widths) == 30
    assert sum(widths[::2]) == 20  # black's
    notes = [text.get_text() for text in winners.texts]
    assert [note.split()[0] for note in notes] == ["15", "12", "3"]


def test_histograms_of_distances_sum_to_one_hundred():
    figure = go_pictures.nearest_distances({"a": torch.tensor([2, 2, 3]), "b": torch.arange(9)})
    heights = np.array([bar.get_height() for bar in figure.axes[0].patches])
    assert abs(heights.sum() - 200.0) < 1e-6
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["a: 2 in the median", "b: 4 in the median"]
