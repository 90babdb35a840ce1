"""Lists of the frames of a split: text files with a frame a line."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sernet_core.errors import InputError
from sernet_core.media import is_image


def read_list(path: Path, known: Collection[str] = ()) -> list[str]:
    """Stems of a list; a line holds a stem, the path of an image, or the paths of an image and its label.

    Args:
        path: The list.
        known: Stems that exist: these are taken as they stand, whatever they look like.

    Raises:
        InputError: It cannot be read, or a line names the label of another image.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: a list of frames is text in UTF-8: {error}") from error
    return [
        _stem(f"{path}:{number}", line.strip(), known) for number, line in enumerate(lines, 1) if line.strip()
    ]


def _stem(where: str, line: str, known: Collection[str]) -> str:
    paths = [Path(word) for word in line.split()]
    if len(paths) == 2 and all(map(is_image, paths)):
        image, label = (path.stem for path in paths)
        if label != image and not label.startswith(f"{image}_"):
            raise InputError(f"{where}: pairs the image {image} with the label {label}")
        return image
    name = Path(line)
    # 1403636579.763 is a stem: only what is known to be an image's ending is one.
    return name.name if name.name in known or not is_image(name) else name.stem
