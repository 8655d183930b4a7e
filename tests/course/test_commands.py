"""The command line: its help, its commands, and errors that name their mend."""

import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from rlcourse import __main__ as command_line
from rlcourse.course import build as builder
from rlcourse.course import commands, doctor
from rlcourse.course.execute import execute
from rlcourse.course.outline import find_lesson
from rlcourse.course.requirements import Need
from rlcourse.experiments import reference


@dataclass(frozen=True)
class Config:
    alpha: float = 0.5
    num_seeds: int = 3


class Figure:
    def savefig(self, path, dpi):
        Path(path).write_text("picture")


@pytest.fixture
def experiment(monkeypatch):
    """A fake experiment "bandit" that writes down its config."""
    module = types.ModuleType("bandit", doc="A bandit.\n\nMore.")
    module.Config, module.PRESETS = Config, {"smoke": Config(num_seeds=1), "laptop": Config()}
    module.run = lambda config, folder: bool((folder / "config.txt").write_text(repr(config)))
    module.plot = lambda folder: Figure()
    helper = types.ModuleType("helper")
    monkeypatch.setattr(commands, "_module_names", lambda: ["bandit", "helper"])
    monkeypatch.setattr(commands, "_module", {"bandit": module, "helper": helper}.get)


def test_help_is_fast_and_lists_the_commands():
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "rlcourse", "--help"], capture_output=True, text=True, check=True
    )
    assert time.monotonic() - begin < 5  # it imports neither torch nor matplotlib
    for name in ("build", "run", "bench", "play", "match", "gtp", "doctor"):
        assert name in done.stdout


def test_help_imports_nothing_heavy():
    code = "import sys, rlcourse.__main__; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_run_writes_results_and_a_figure(experiment, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["run", "bandit", "--preset", "smoke", "--alpha", "0.1"]) == 0
    folder = tmp_path / "runs" / "bandit" / "smoke"
    assert (folder / "config.txt").read_text() == "Config(alpha=0.1, num_seeds=1)"
    assert (folder / "figure.png").exists()
    assert "runs/bandit/smoke" in capsys.readouterr().out


def test_run_takes_a_folder_and_a_number_of_seeds(experiment, tmp_path, capsys):
    assert command_line.main(["run", "bandit", "--seeds", "7", "--out", str(tmp_path / "x")]) == 0
    assert (tmp_path / "x" / "config.txt").read_text() == "Config(alpha=0.5, num_seeds=7)"


def test_run_shows_what_the_package_refuses_and_hides_no_bug(experiment, tmp_path, capsys):
    module = commands.find_experiment("bandit")
    module.run = lambda config, folder: Path("\0").read_text()
    with pytest.raises(ValueError, match="null"):
        command_line.main(["run", "bandit", "--out", str(tmp_path)])
    module.run = lambda config, folder: find_lesson("nothing")
    assert command_line.main(["run", "bandit", "--out", str(tmp_path)]) == 1
    assert "no lesson 'nothing'" in capsys.readouterr().err


def refuse(error):
    """A function of this package's that refuses what it is given."""

    def refuses(*args):
        if isinstance(error, FileNotFoundError):
            raise error
        find_lesson(str(error))

    return refuses


@pytest.mark.parametrize("step", ["run", "reference_curves", "plot"])
@pytest.mark.parametrize("error", [ValueError("nothing"), FileNotFoundError("nothing there")])
def test_whatever_an_experiment_refuses_is_a_message(experiment, step, error, tmp_path, capsys):
    module = commands.find_experiment("bandit")
    module.reference_curves = lambda folder: pytest.fail("not asked for")
    setattr(module, step, refuse(error))
    options = ["--reference"] if step == "reference_curves" else []
    assert command_line.main(["run", "bandit", "--out", str(tmp_path), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert str(error) in said


def test_an_interrupted_run_is_not_drawn(experiment, tmp_path):
    module = commands.find_experiment("bandit")
    module.run = lambda config, folder: False
    module.plot = module.reference_curves = lambda folder: pytest.fail("it is not finished")
    assert command_line.main(["run", "bandit", "--reference", "--out", str(tmp_path)]) == 130
    module.run, module.plot = lambda config, folder: None, lambda folder: Figure()
    assert command_line.main(["run", "bandit", "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--preset", "smoke"], "num_seeds"),
        (["--seeds", "7"], "num_seeds"),
        (["--alpha", "0.1"], "alpha"),
    ],
    ids=str,
)
def test_only_laptop_unchanged_is_shipped(experiment, options, says, monkeypatch, tmp_path, capsys):
    module = commands.find_experiment("bandit")
    module.reference_curves = lambda folder: {"curve": folder}
    saved = []
    monkeypatch.setattr(reference, "save_reference", lambda name, curves: saved.append(name))
    out = ["--reference", "--out", str(tmp_path / "out")]
    assert command_line.main(["run", "bandit", *options, *out]) == 1
    said = capsys.readouterr().err
    assert "made at laptop, unchanged" in said
    assert said.endswith(f"sets {says}\n")
    assert not (tmp_path / "out").exists()  # refused before it is run
    assert saved == []
    assert command_line.main(["run", "bandit", *out]) == 0
    assert saved == ["bandit"]


def test_an_experiment_without_curves_ships_none(experiment, tmp_path, capsys):
    assert command_line.main(["run", "bandit", "--reference", "--out", str(tmp_path)]) == 1
    assert "ships no curves" in capsys.readouterr().err


def test_run_writes_the_figure_where_it_is_wanted(experiment, tmp_path, capsys):
    picture, out = tmp_path / "pictures" / "bandit.png", ["--out", str(tmp_path / "out")]
    assert command_line.main(["run", "bandit", *out, "--figure", str(picture)]) == 0
    assert picture.read_text() == (tmp_path / "out" / "figure.png").read_text() == "picture"
    assert command_line.main(["run", "bandit", *out, "--figure", str(tmp_path / "b.odd")]) == 1
    assert "must end in one of .png, .pdf, .svg" in capsys.readouterr().err


def test_run_help_lists_the_experiments_settings(experiment, capsys):
    with pytest.raises(SystemExit) as caught:
        command_line.main(["run", "bandit", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "--alpha" in out
    assert "--preset" in out


def test_run_without_a_name_lists_experiments(experiment, capsys):
    assert command_line.main(["run"]) == 0
    assert capsys.readouterr().out == "experiments: bandit\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nothing"], "no experiment 'nothing'; there are: bandit"),
        (["run", "helper"], "no experiment 'helper'; there are: bandit"),
        (["run", "bandit", "--preset", "huge"], "no preset 'huge'; it has: smoke, laptop"),
        (["bench", "nothing"], "benchmark"),
        (["build", "99_nothing", "--check"], "no lesson '99_nothing'"),
    ],
    ids=str,
)
def test_unknown_names_are_clear_errors(experiment, arguments, says, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    checkout = tmp_path / "rlcourse" / "course" / "build.py"
    (tmp_path / "solutions").mkdir()
    monkeypatch.setattr(builder, "__file__", str(checkout))
    assert command_line.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error


def test_an_unwritable_folder_is_a_clear_error(experiment, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert command_line.main(["run", "bandit", "--out", str(tmp_path / "file" / "out")]) == 1
    assert "choose another folder with --out" in capsys.readouterr().err


def test_check_prints_drift_and_the_mending_command(project, monkeypatch, capsys):
    monkeypatch.setattr(builder, "checkout", lambda names: project)
    assert command_line.main(["build", "--check"]) == 1
    out = capsys.readouterr().out
    assert "notebooks/97_fake.ipynb: differs" in out
    assert "mend: python -m rlcourse build" in out
    assert command_line.main(["build"]) == 0
    assert command_line.main(["build", "--check"]) == 0


@pytest.mark.parametrize("missing", ["jupytext", "nbformat", "nbclient"])
def test_a_missing_build_tool_names_the_command(project, missing, monkeypatch, capsys):
    monkeypatch.setattr(builder, "checkout", lambda names: project)
    monkeypatch.setattr(builder, "execute", execute)  # the fixture's pretends
    monkeypatch.setitem(sys.modules, missing, None)
    assert command_line.main(["build"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {missing} is missing")
    assert "python -m pip install -r requirements-dev.txt" in said


def test_a_missing_package_that_is_no_build_tool_is_a_bug(monkeypatch):
    def fail(names):
        raise ModuleNotFoundError("no module", name="rlcourse.nothing")

    monkeypatch.setattr(builder, "checkout", fail)
    with pytest.raises(ModuleNotFoundError):
        command_line.main(["build", "--check"])


def test_build_works_in_a_clone_only(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(builder, "__file__", str(tmp_path / "rlcourse" / "course" / "build.py"))
    assert command_line.main(["build"]) == 1
    assert "in a clone of the course" in capsys.readouterr().err


def test_bench_runs_the_files_of_the_checkout(monkeypatch, tmp_path, capfd):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "one.py").write_text("print('| a |')")
    (folder / "two.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    assert command_line.main(["bench", "one"]) == 0
    assert "## one\n\n| a |" in capfd.readouterr().out
    assert command_line.main(["bench"]) == 1


def test_bench_passes_a_figure_to_those_that_draw(monkeypatch, tmp_path, capfd):
    folder, figures = tmp_path / "benchmarks", tmp_path / "figures"
    folder.mkdir()
    (folder / "plain.py").write_text("import sys; print('plain', sys.argv[1:])")
    (folder / "drawn.py").write_text("import sys; print('drawn', sys.argv[1:])  # takes --figure")
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    assert command_line.main(["bench", "--figures", str(figures)]) == 0
    out = capfd.readouterr().out
    assert "plain []" in out
    assert f"drawn ['--figure', '{figures / 'drawn.png'}']" in out
    assert figures.is_dir()
    assert command_line.main(["bench"]) == 0
    assert "drawn []" in capfd.readouterr().out


def test_bench_without_a_checkout_is_a_clear_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    assert command_line.main(["bench"]) == 1
    assert "in a clone of the course" in capsys.readouterr().err


def test_doctor_reports_what_is_missing(monkeypatch, capsys):
    found = (
        Need("torch", ">=2.4", "2.13.0", "", True),
        Need("ale-py", ">=0.10", None, "atari", False),
    )
    monkeypatch.setattr(doctor, "needs", lambda: found)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert command_line.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert 'python -m pip install "ale-py>=0.10"' in out
    assert "apt-get install gnugo" in out
    assert "The course can run" in out


def test_doctor_fails_when_a_core_package_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "needs", lambda: (Need("torch", ">=2.4", "1.0", "", False),))
    assert command_line.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "1.0, >=2.4 is wanted" in out
    assert "cannot run yet: torch" in out


def test_doctor_names_a_place_that_cannot_be_written(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RLCOURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))
    monkeypatch.setattr(doctor, "needs", lambda: ())
    assert command_line.main(["doctor"]) == 0
    assert "set RLCOURSE_PROGRESS" in capsys.readouterr().out
