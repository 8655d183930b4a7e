import pytest

from rlcourse.go.records import Game, GameFile
from rlcourse.go.shipped import fingerprint, games_folder, load_games


def write(folder, name, games, size=9, komi=7.5):
    GameFile.create(folder / name, size, komi, {}).append(games)


def test_games_of_all_files_come_in_the_order_of_their_numbers(tmp_path):
    later, first = Game(7, (1, 2), 3.5), Game(2, (0, 81), -0.5)
    write(tmp_path, "a.games", [later])
    write(tmp_path, "b.games", [first])
    rules, games = load_games(tmp_path)
    assert games == [first, later]
    assert (rules.size, rules.komi, rules.superko, rules.longest) == (9, 7.5, True, 486)


def test_no_games_and_mixed_games_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"git checkout -- data/go9x9"):
        load_games(tmp_path)
    write(tmp_path, "a.games", [Game(0, (1,), 0.5)])
    write(tmp_path, "b.games", [Game(1, (1,), 0.5)], komi=5.5)
    with pytest.raises(ValueError, match=r"\[\(9, 5.5\), \(9, 7.5\)\]: keep one kind"):
        load_games(tmp_path)


def test_the_course_ships_games():
    rules, games = load_games()
    assert games_folder().name == "go9x9"
    assert rules.size == 9
    assert len(games) > 1_000
    assert [game.number for game in games] == sorted({game.number for game in games})


def test_a_fingerprint_tells_games_apart():
    one, other = Game(0, (1, 2), 0.5), Game(1, (3,), -0.5)
    assert fingerprint([one, other]) == fingerprint([other, one])
    assert fingerprint([one]) != fingerprint([one, other])
    assert fingerprint([one]) != fingerprint([one._replace(margin=1.5)])
