"""What the command line does. Heavy imports stand in the functions: help comes at once."""

import contextlib
import dataclasses
import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended
FORMATS = (".png", ".pdf", ".svg")
BUILD_TOOLS = ("jupytext", "nbformat", "nbclient")


class CommandError(Exception):
    """A command was given something that it cannot work with. The message names the mend."""


def build(lessons: Sequence[str], execute: bool, preset: str) -> int:
    """Write notebooks and the README's table."""
    from rlcourse.course import build as builder

    with _build_errors():
        builder.build(builder.checkout(lessons), execute, preset)
    return 0


def check(lessons: Sequence[str]) -> int:
    """Print each file that has drifted from its source; 1 if there is any."""
    from rlcourse.course import build as builder

    with _build_errors():
        drifted = builder.drift(builder.checkout(lessons))
    for line in drifted:
        print(line)
    if drifted:
        print("mend: python -m rlcourse build (with --no-execute if only text changed)")
    return 1 if drifted else 0


@dataclass(frozen=True)
class RunOptions:
    """What every experiment takes.

    Attributes:
        preset: the size: smoke, laptop or paper.
        out: the folder for results; runs/EXPERIMENT/PRESET if it is not given.
        seeds: the number of seeds, if not the preset's.
        reference: also write the curves that the course ships, in data/curves.
        figure: also write the figure to this file; its ending chooses the format.
    """

    preset: str = "laptop"
    out: Path | None = None
    seeds: int | None = None
    reference: bool = False
    figure: Path | None = None


def run_experiment(name: str, arguments: Sequence[str], program: str) -> int:
    """Run the experiment `name` with command-line `arguments`; resume it where it was interrupted.

    An experiment is a module with a frozen dataclass `Config`, `PRESETS` (name -> Config),
    `run(config, folder)`, which returns False if it was interrupted, `plot(folder)`, which returns
    a matplotlib figure, and perhaps `reference_curves(folder)`, the curves that are shipped.
    """
    import tyro

    experiment = find_experiment(name)
    options, rest = tyro.cli(
        RunOptions, args=list(arguments), return_unknown_args=True, add_help=False
    )
    config = tyro.cli(
        experiment.Config,
        default=_preset(experiment, name, options),
        args=rest,
        prog=f"{program} run {name} [--preset NAME] [--out FOLDER] [--seeds N] [--reference] "
        "[--figure FILE]",
        description=(experiment.__doc__ or name).split("\n\n")[0],
    )
    if options.reference:
        _check_reference(experiment, name, config)
    if options.figure is not None:
        if options.figure.suffix not in FORMATS:
            known = ", ".join(FORMATS)
            raise CommandError(f"--figure {options.figure}: its name must end in one of {known}")
        writable_folder(options.figure.parent, "--figure")
    folder = writable_folder(options.out or Path("runs") / name / options.preset)
    with _experiment_errors():
        if experiment.run(config, folder) is False:
            return INTERRUPTED
        if options.reference:
            from rlcourse.experiments.reference import save_reference

            print(f"reference curves: {save_reference(name, experiment.reference_curves(folder))}")
        _save_figure(experiment, folder, options.figure)
    return 0


def list_experiments() -> int:
    """Print the names of all experiments."""
    print("experiments: " + (", ".join(experiment_names()) or "none yet"))
    return 0


def experiment_names() -> list[str]:
    """The experiments in the package: the modules that have presets."""
    return [name for name in _module_names() if hasattr(_module(name), "PRESETS")]


def find_experiment(name: str) -> ModuleType:
    """Import an experiment.

    Raises:
        CommandError: if there is none of that name; the message lists them all.
    """
    module = _module(name) if name in _module_names() else None
    if not hasattr(module, "PRESETS"):
        known = ", ".join(experiment_names()) or "none yet"
        raise CommandError(f"no experiment {name!r}; there are: {known}")
    return module


def writable_folder(folder: Path, option: str = "--out") -> Path:
    """The folder, made if need be.

    Raises:
        CommandError: if nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise CommandError(
            f"cannot write to {folder} ({error}); choose another folder with {option}"
        ) from error


def bench(names: Sequence[str], figures: Path | None = None) -> int:
    """Run benchmark files one after the other; 1 if any of them fails.

    The figures of those that draw one, with --figure, are written to the folder `figures`.
    """
    folder = ROOT / "benchmarks"
    files = {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}
    if not files:
        raise CommandError(f"{folder} holds no benchmarks: they run in a clone of the course")
    unknown = [name for name in names if name not in files]
    if unknown:
        raise CommandError(f"no benchmark {unknown[0]!r}; there are: {', '.join(files)}")
    # A script's own folder comes first on its path; the package has to be found beside it.
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if figures is not None:
        writable_folder(figures, "--figures")
    status = 0
    for name in names or files:
        print(f"## {name}\n", flush=True)
        command = [sys.executable, str(files[name])]
        if figures is not None and "--figure" in files[name].read_text(encoding="utf-8"):
            command += ["--figure", str(figures / f"{name}.png")]
        status |= subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}).returncode != 0
        print(flush=True)
    return int(status)


def diagnose() -> int:
    """Print what is installed and what is missing; 1 if something every lesson needs is missing."""
    from rlcourse.course.doctor import doctor

    return doctor()


def _module_names() -> list[str]:
    from rlcourse import experiments

    return sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"rlcourse.experiments.{name}")


def _preset(experiment: ModuleType, name: str, options: RunOptions) -> Any:
    """The config of the chosen preset, with the number of seeds put in."""
    if options.preset not in experiment.PRESETS:
        known = ", ".join(experiment.PRESETS)
        raise CommandError(f"{name} has no preset {options.preset!r}; it has: {known}")
    config = experiment.PRESETS[options.preset]
    if options.seeds is None:
        return config
    if "num_seeds" not in {field.name for field in dataclasses.fields(config)}:
        raise CommandError(f"{name} has no number of seeds to set: leave --seeds out")
    return dataclasses.replace(config, num_seeds=options.seeds)


def _check_reference(experiment: ModuleType, name: str, config: Any) -> None:
    """Refuse to ship curves of any but the laptop preset."""
    if not hasattr(experiment, "reference_curves"):
        raise CommandError(f"{name} ships no curves: leave out --reference")
    made_at = experiment.PRESETS["laptop"]
    if config != made_at:
        changed = ", ".join(
            field.name
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != getattr(made_at, field.name)
        )
        raise CommandError(
            "what the course ships is made at laptop, unchanged: leave out --reference, or what "
            f"sets {changed}"
        )


@contextlib.contextmanager
def _build_errors() -> Iterator[None]:
    """Turn what stops a build into messages."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in BUILD_TOOLS:
            raise
        raise CommandError(
            f"{error.name} is missing, which building needs; in the clone's folder run: "
            "python -m pip install -r requirements-dev.txt"
        ) from error
    except (ValueError, FileNotFoundError) as error:  # a LessonError is a ValueError
        raise CommandError(error) from error


@contextlib.contextmanager
def _experiment_errors() -> Iterator[None]:
    """Turn what an experiment refuses into messages; ValueErrors from elsewhere are bugs."""
    try:
        yield
    except FileNotFoundError as error:
        raise CommandError(error) from error
    except ValueError as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if raised_in.is_relative_to(ROOT / "rlcourse"):
            raise CommandError(error) from error
        raise


def _save_figure(experiment: ModuleType, folder: Path, copy: Path | None) -> None:
    import matplotlib

    matplotlib.use("agg")
    figure = experiment.plot(folder)
    for path in filter(None, (folder / "figure.png", copy)):
        figure.savefig(path, dpi=150)
    print(f"results and figure.png are in {folder}")
