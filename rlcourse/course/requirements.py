"""Compare what is installed with the lower bounds that the package itself declares."""

import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

PACKAGE = "rlcourse"


class Need(NamedTuple):
    """A declared requirement against what is installed.

    `extra` is empty for what every lesson needs; `installed` is None where the package is missing.
    """

    name: str
    wanted: str
    installed: str | None
    extra: str
    met: bool

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}{self.wanted}"


def needs() -> tuple[Need, ...]:
    """Every requirement that applies to this machine, those of the extras included.

    Raises:
        ModuleNotFoundError: if this package itself is not installed.
    """
    try:
        declared = importlib.metadata.requires(PACKAGE) or []
        extras = importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(
            f"{PACKAGE} is not installed in this environment; in the clone's folder run: "
            "python -m pip install -e ."
        ) from None
    return tuple(need for line in declared for need in _needs_of(line, extras))


def pip_command(unmet: Sequence[Need]) -> str:
    """The command that installs what is unmet. Quoted: an unquoted >= redirects in a shell."""
    return "python -m pip install " + " ".join(f'"{need.requirement}"' for need in unmet)


def require(found: Sequence[Need]) -> None:
    """Check what every lesson needs, extras left out.

    Raises:
        ImportError: if something is missing or too old; the message has the command that mends it.
    """
    unmet = [need for need in found if not need.extra and not need.met]
    if unmet:
        says = "; ".join(
            f"{need.name} is missing"
            if need.installed is None
            else f"{need.name} {need.installed} is installed, {need.wanted} is needed"
            for need in unmet
        )
        raise ImportError(f"{says}. Run: {pip_command(unmet)}\nand restart the kernel.")


def _needs_of(line: str, extras: Sequence[str]) -> Iterator[Need]:
    """The requirement of one metadata line: none if its marker excludes this machine."""
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    marker = requirement.marker
    if requirement.name == PACKAGE:  # an extra made of other extras
        return
    if marker is None or marker.evaluate({"extra": ""}):
        yield _compare(requirement.name, requirement.specifier, "")
        return
    for extra in extras:
        if marker.evaluate({"extra": extra}):
            yield _compare(requirement.name, requirement.specifier, extra)


def _compare(name: str, specifier, extra: str) -> Need:
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    met = installed is not None and specifier.contains(installed, prereleases=True)
    return Need(name, str(specifier), installed, extra, met)
