"""Files that are complete or absent at every moment, whatever crashes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlcourse.data.files import replacing

__all__ = ["exclusively", "replacing", "write_whole"]


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`, in place of what was there before; text as UTF-8.

    Raises:
        OSError: the folder is absent or cannot be written; what was there is unharmed.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the file `path`, made if absent, against other processes that do the same.

    The hold ends with the block, or with the process. Systems without `fcntl` (Windows) hold
    nothing.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"{path} is held by another process: wait until it is done, or stop it"
            ) from None
        yield
