"""Files that are complete or absent at every moment, whatever crashes."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`, in place of what was there before; text as UTF-8.

    Raises:
        OSError: the folder is absent or cannot be written; what was there is unharmed.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, before: Callable[[], None] = lambda: None) -> Iterator[IO[bytes]]:
    """Yield a file beside `path` that takes its place once the block has ended without an error.

    Args:
        path: of the file to replace, in a folder that exists.
        before: called when the new file is on the disk and the old one still at `path`.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        before()
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # the folder itself may be the trouble
            temporary.unlink(missing_ok=True)


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
