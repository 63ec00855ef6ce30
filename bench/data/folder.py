"""A user's own pictures: one folder a class."""

import unicodedata
from collections import Counter
from functools import partial
from pathlib import Path

import torch

from bench.data.paths import folder_of
from bench.data.pictures import TESTS, TRAININGS, Stored, divide
from bench.data.splits import Dataset, shuffled
from bench.errors import CrossfireError, reason

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
CLASSES = "classes.txt"


def load_folder(spec: str) -> Dataset:
    """`DIR[@SIZE]`: DIR/train/CLASS/* and DIR/test/CLASS/*; or DIR/CLASS/*, all for testing.

    Where there is no `test`, the next of `TESTS` is the test set, in small or capital letters;
    so it is with `train` and `TRAININGS`. Classes are numbered in the order of their names, or as
    DIR/classes.txt lists them, one a line: so a subset of ImageNet's folders keeps the class
    numbers of a trained model. Pictures are in a fixed random order, so the first n are a fair
    sample.

    Raises:
        CrossfireError: there is no such folder, it holds no pictures or only those of `train`, its
            classes look like splits, or are listed twice, or one can't be read.
    """
    folder, size = folder_of(spec)
    if not folder.is_dir():
        raise CrossfireError(f"there is no folder {folder}; name one that holds a folder a class")
    parts = _parts(folder)
    classes = _classes(folder, parts)
    test, *train = (partial(_stored, part, classes) for part in parts)
    found = test()
    if not len(found.labels):
        raise CrossfireError(f"{parts[0]} holds no pictures; put them into one folder a class")
    if len(classes) < 2:
        raise CrossfireError(
            f"{folder} holds a single class; there must be a folder for each class"
        )
    return divide(f"folder:{spec}", len(classes), size, found, train[0] if train else None)


def _parts(folder: Path) -> list[Path]:
    """The test folder, followed by the training folder if there is one."""
    inside = {child.name.lower(): child for child in _folders(folder)}
    # A class may be called "train" or "valid", but it holds pictures and no folders.
    split = {name for name, child in inside.items() if _folders(child)}
    test = next((name for name in TESTS if name in split), None)
    train = next((name for name in TRAININGS if name in split), None)
    if test is not None:
        return [inside[name] for name in (test, train) if name is not None]
    if "test" in inside or train is not None:
        names = ", ".join(TESTS)
        raise CrossfireError(f"{folder} has no test set; put a folder a class into one of {names}")
    _check_classes(folder, list(inside.values()))
    return [folder]


def _check_classes(folder: Path, classes: list[Path]) -> None:
    """Check that folders of classes don't look like splits of other names, with the same classes in
    each. (With one folder in each they are classes, as in Tiny ImageNet: CLASS/images/*.)"""
    inside = {frozenset(child.name for child in _folders(one)) for one in classes}
    same = len(classes) > 1 and len(inside) == 1 and all(len(names) > 1 for names in inside)
    if same and not any(map(_is_picture, folder.glob("*/*"))):
        names = " and ".join(sorted(one.name for one in classes)[:2])
        raise CrossfireError(
            f"{folder} holds {names} with the same folders in each; call them train and test, or, "
            "if they are classes, put all classes into a folder test"
        )


def _folders(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_dir() and not _foreign(child.name)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _foreign(name: str) -> bool:
    """Whether it is hidden or written by an archive program, and no part of the data."""
    return name.startswith(".") or name == "__MACOSX"


def _classes(folder: Path, parts: list[Path]) -> dict[str, int]:
    listed = folder / CLASSES
    if listed.is_file():
        names = [_named(line.strip()) for line in _text(listed).splitlines() if line.strip()]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise CrossfireError(
                f"{listed} lists '{twice[0]}' twice; give each class a folder and a line of its own"
            )
    else:
        names = sorted({_named(child.name) for part in parts for child in _folders(part)})
    return {name: number for number, name in enumerate(names)}


def _named(name: str) -> str:
    """The name of a file or folder with each accent as part of its letter; archives made on a Mac
    have them apart."""
    return unicodedata.normalize("NFC", name)


def _text(listed: Path) -> str:
    try:
        return listed.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise CrossfireError(f"{listed} is not in UTF-8 ({reason(error)}); convert it") from error


def _stored(part: Path, classes: dict[str, int]) -> Stored:
    for child in _folders(part):
        if _named(child.name) not in classes:
            raise CrossfireError(f"{CLASSES} does not list '{child.name}'; add it, one name a line")
    found = filter(_is_picture, part.glob("*/**/*"))
    inside = [([_named(name) for name in path.relative_to(part).parts], path) for path in found]
    paths, labels = [], []
    for names, path in sorted(inside):
        if names[0] in classes and not any(map(_foreign, names)) and path.is_file():
            paths.append(path)
            labels.append(classes[names[0]])
    order = shuffled(len(paths))
    return Stored(partial(_place, paths), order, torch.tensor(labels, dtype=torch.long)[order])


def _place(paths: list[Path], index: int) -> tuple[Path, str]:
    return paths[index], str(paths[index])
