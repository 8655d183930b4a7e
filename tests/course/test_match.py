"""`python -m rlcourse match` and `python -m rlcourse gtp`."""

import io
import sys

import pytest

from rlcourse import __main__ as command_line
from rlcourse.go.records import GameFile
from rlcourse.go.saved_agent import save_agent
from tests.experiments.test_go_players import FAKE
from tests.go.agents import agent_files

RANDOM = ["match", "random", "random", "--size", "5", "--komi", "2.5", "--stones", "1", "3"]


def run(*arguments: str) -> int:
    return command_line.main([*arguments])


def test_a_match_is_played_counted_and_gone_on_with(tmp_path, capsys):
    out = ["--out", str(tmp_path / "match")]
    assert run(*RANDOM, *out, "--pairs", "1") == 0
    first = list(GameFile.open(tmp_path / "match" / "match.games"))
    assert "random against random: " in capsys.readouterr().out
    assert run(*RANDOM, *out, "--pairs", "3", "--parallel", "2") == 0
    said = capsys.readouterr().out
    games = list(GameFile.open(tmp_path / "match" / "match.games"))
    assert games[:2] == first
    wins = sum(game.margin * (-1) ** game.number > 0 for game in games)
    assert f"random against random: {wins} won, 0 drawn, {6 - wins} lost: {wins / 6:.1%} [" in said
    assert "Elo " in said
    assert f"the games are in {tmp_path / 'match'}" in said
    assert len(list((tmp_path / "match").glob("*.sgf"))) == len(games) == 6
    assert games[0].moves[: games[0].opening] == games[1].moves[: games[1].opening]


def test_a_board_too_small_for_openings_is_refused(tmp_path, capsys):
    arguments = [*RANDOM[:3], "--size", "3", "--pairs", "1", "--out", str(tmp_path)]
    assert run(*arguments) == 1
    assert "an opening on 3x3 has 0 to 0 stones, got 4 to 8" in capsys.readouterr().err


def test_the_seed_makes_another_match(tmp_path):
    for seed in ("0", "1"):
        run(*RANDOM, "--pairs", "1", "--seed", seed, "--out", str(tmp_path / seed))
    one, other = (list(GameFile.open(tmp_path / seed / "match.games")) for seed in ("0", "1"))
    assert one[0].moves != other[0].moves


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["match", "random", "nobody"], "no player is called 'nobody'"),
        (["match", "random", "gtp:no-such-engine"], "cannot start 'no-such-engine'"),
        (["match", "random", "agent:/nowhere"], "no agent in /nowhere"),
        ([*RANDOM, "--pairs", "0"], "--pairs and --parallel must be at least 1"),
        ([*RANDOM, "--parallel", "0"], "got 20, 0 and 0"),
        ([*RANDOM, "--seed", "-1"], "--seed not negative"),
        (["gtp", "gnugo:99"], "no player is called 'gnugo:99'"),
        (["gtp", "gtp:engine"], "'gtp:engine' is an engine"),
        (["gtp", "random", "--size", "40"], "size must lie in [2, 19], got 40"),
    ],
)
def test_errors_are_sentences(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    assert words in capsys.readouterr().err


def test_another_match_in_the_folder_is_refused(tmp_path, capsys):
    out = ["--pairs", "1", "--out", str(tmp_path)]
    assert run(*RANDOM, *out) == 0
    assert run(*RANDOM, *out, "--seed", "3") == 1
    assert "choose another folder" in capsys.readouterr().err


def test_an_engine_that_dies_is_named(tmp_path, capsys):
    arguments = ["match", "random", f"gtp:{sys.executable} {FAKE} dies", "--pairs", "1"]
    assert run(*arguments, "--out", str(tmp_path)) == 1
    assert "Fake dies ended" in capsys.readouterr().err


def test_a_match_that_is_stopped_says_how_it_goes_on(tmp_path, capsys, monkeypatch):
    def stops(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("rlcourse.go.batch_match.play_batch_match", stops)
    assert run(*RANDOM, "--out", str(tmp_path)) == 130
    assert f"the same command goes on with the games that {tmp_path} lacks" in (
        capsys.readouterr().out
    )


def test_a_player_answers_gtp(tmp_path, capsys, monkeypatch):
    save_agent(tmp_path, agent_files(tmp_path))
    lines = "name\ngenmove b\nkomi 7.5\ngenmove w\nundo\nquit\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert run("gtp", f"agent:{tmp_path}", "--size", "3", "--komi", "0.5") == 0
    name, move, komi, refused, undo, end, _ = capsys.readouterr().out.split("\n\n")
    assert (name, komi, undo, end) == ("= rlcourse tiny", "=", "=", "=")
    assert move[:2] == "= "
    assert refused.startswith("? the database holds positions of Rules(size=3, komi=0.5, ")
    assert "got boards of Rules(size=3, komi=7.5, superko=True, max_moves=54): choose" in refused
    assert "\n" not in refused


def test_help_names_the_players(capsys):
    for command in ("match", "gtp"):
        with pytest.raises(SystemExit):
            run(command, "--help")
        assert "agent:FOLDER" in capsys.readouterr().out
