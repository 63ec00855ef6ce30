from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from bench.data import load
from bench.errors import CrossfireError


def picture(path: Path, size: tuple[int, int] = (9, 7), mode: str = "RGB", shade: int = 0) -> Path:
    """Write one of (width, height) whose pixels encode their position."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    rows = (np.arange(width)[None] * 20 + np.arange(height)[:, None] * 5 + shade).astype(np.uint8)
    Image.fromarray(rows).convert(mode).save(path)
    return path


def tree(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 6) -> Path:
    for number, name in enumerate(classes):
        for index in range(each):
            picture(folder / name / f"{index}.png", shade=40 * number + index)
    return folder


def test_a_folder_without_splits_is_a_test_set(tmp_path: Path) -> None:
    pets = load(f"folder:{tree(tmp_path)}")
    assert (len(pets.train), len(pets.heldout), len(pets.test)) == (0, 0, 12)
    assert (pets.classes, pets.channels, pets.size) == (2, 3, (7, 9))
    for image, label in zip(pets.test.images, pets.test.labels, strict=True):
        assert image[0, 0, 0] // 40 == label
        assert image[1, 2, 3] == image[1, 0, 0] + 70


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation", "Test", "Testing"])
def test_train_and_test_folders_are_separate_splits(tmp_path: Path, name: str) -> None:
    tree(tmp_path / ("Training" if name == "Testing" else "train"), each=10)
    tree(tmp_path / name, each=3)
    pets = load(f"folder:{tmp_path}")
    assert (len(pets.train), len(pets.heldout), len(pets.test)) == (18, 2, 6)


def test_test_comes_before_validation_and_folders_without_classes_are_no_test_set(
    tmp_path: Path,
) -> None:
    for number, name in enumerate(("test", "testing", "val", "valid", "validation"), 1):
        tree(tmp_path / name, each=number)
    assert len(load(f"folder:{tmp_path}").test) == 2
    picture(tmp_path / "quality" / "valid" / "1.png")
    picture(tmp_path / "quality" / "invalid" / "1.png")
    assert load(f"folder:{tmp_path}/quality").classes == 2


def test_training_data_without_a_test_set_are_refused_but_a_class_may_be_called_train(
    tmp_path: Path,
) -> None:
    tree(tmp_path / "train")
    with pytest.raises(CrossfireError, match=r"no test set; .* test, testing, val, valid, valid"):
        load(f"folder:{tmp_path}")
    assert load(f"folder:{tree(tmp_path / 'vehicles', classes=('plane', 'train'))}").classes == 2


def test_folders_that_look_like_splits_are_no_classes(tmp_path: Path) -> None:
    for name in ("seen", "unseen"):
        tree(tmp_path / "test" / name)
    assert load(f"folder:{tmp_path}").classes == 2
    folder = tmp_path / "test"
    with pytest.raises(CrossfireError, match=r"seen and unseen with the same folders .* call them"):
        load(f"folder:{folder}")
    picture(folder / "seen" / "1.png")
    assert load(f"folder:{folder}").classes == 2


def test_classes_with_one_folder_each_are_classes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        tree(tmp_path / name, classes=("images",))
    assert load(f"folder:{tmp_path}").classes == 2


def test_hidden_and_foreign_files_are_no_pictures(tmp_path: Path) -> None:
    plain = load(f"folder:{tree(tmp_path / 'plain')}").test.sha256()
    tree(tmp_path / "test")
    picture(tmp_path / "test" / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png")
    (tmp_path / "test" / "dog" / "._0.png").write_text("attributes")
    (tmp_path / "test" / "__MACOSX" / "cat").mkdir(parents=True)
    (tmp_path / "test" / "__MACOSX" / "cat" / "0.png").write_text("attributes")
    (tmp_path / "test" / "cat" / "unpacked.png").mkdir()
    assert load(f"folder:{tmp_path}").test.sha256() == plain


def test_folders_may_be_called_like_addresses_and_lie_under_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tree(tmp_path / "me@home" / "pets")
    assert load(f"folder:{mine}").size == (7, 9)
    assert load(f"folder:{mine}@4").size == (4, 4)
    for name in ("pets@home", "pets@2024"):
        last = tree(tmp_path / name)
        assert load(f"folder:{last}").size == (7, 9)
        assert load(f"folder:{last}@4").size == (4, 4)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("folder:~/me@home/pets").name == "folder:~/me@home/pets"
    with pytest.raises(CrossfireError, match="there is no folder"):
        load("folder:~nobody-of-this-name/pets")


def test_every_prefix_is_a_fixed_fair_sample(tmp_path: Path) -> None:
    spec = f"folder:{tree(tmp_path, each=50)}"
    test = load(spec).test
    assert 10 <= test.take(40).labels.sum() <= 30
    assert load(spec).test.take(40).sha256() == test.take(40).sha256()


def test_only_the_pictures_that_are_taken_are_decoded(tmp_path: Path) -> None:
    tree(tmp_path)
    test = load(f"folder:{tmp_path}").test
    assert test.take(1).images.shape == (1, 3, 7, 9)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(CrossfireError, match="is not a complete picture"):
        _ = test.images


def test_training_pictures_are_opened_when_they_are_used(tmp_path: Path) -> None:
    (tree(tmp_path / "train") / "cat" / "0.png").write_text("hello")
    tree(tmp_path / "test")
    pets = load(f"folder:{tmp_path}")
    assert pets.test.images.shape == (12, 3, 7, 9)
    with pytest.raises(CrossfireError, match=r"0\.png is not a complete picture"):
        pets.train  # noqa: B018


def test_training_pictures_fit_the_form_of_those_for_testing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "test" / name / "1.png", mode="L")
        other = picture(tmp_path / "train" / name / "1.png", mode="RGB")
    with pytest.raises(CrossfireError, match="in colour and only grey ones for testing; convert"):
        load(f"folder:{tmp_path}").train  # noqa: B018
    picture(other, (20, 20))
    with pytest.raises(CrossfireError, match="several sizes, such as 9x7 and 20x20"):
        load(f"folder:{tmp_path}").train  # noqa: B018
    for name in ("a", "b"):
        picture(tmp_path / "test" / name / "1.png", mode="RGB")
        picture(tmp_path / "train" / name / "1.png", mode="L")
    assert load(f"folder:{tmp_path}").train.images.shape[1:] == (3, 7, 9)


def test_grey_pictures_stay_grey_only_if_all_are(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / name / "1.png", mode="L")
    assert load(f"folder:{tmp_path}").channels == 1
    picture(tmp_path / "b" / "2.png", mode="P")
    assert load(f"folder:{tmp_path}").channels == 3


def test_a_size_scales_the_shorter_side_and_crops_the_centre(tmp_path: Path) -> None:
    for name in ("a", "b"):
        edge = Image.new("L", (90, 40), 0)
        edge.paste(200, (30, 0, 60, 40))
        (tmp_path / name).mkdir()
        edge.save(tmp_path / name / "wide.png")
        picture(tmp_path / name / "tall.png", (20, 50))
    sized = load(f"folder:{tmp_path}@28")
    assert sized.size == (28, 28)
    assert {int(image.max()) for image in sized.test.images} >= {200}


def test_classes_txt_sets_the_class_numbers(tmp_path: Path) -> None:
    names = "cat\nant\nbee\ndog\n"
    (tree(tmp_path) / "classes.txt").write_text(names, encoding="utf-8-sig")
    pets = load(f"folder:{tmp_path}")
    assert pets.classes == 4
    assert set(pets.test.labels.tolist()) == {0, 3}


def test_pictures_of_several_sizes_require_a_size(tmp_path: Path) -> None:
    picture(tree(tmp_path) / "cat" / "large.png", (20, 20))
    with pytest.raises(CrossfireError, match=r"several sizes, such as 9x7 and 20x20; .*@224"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "there is no folder"),
        ("empty", "holds no pictures"),
        ("single", "holds a single class"),
        ("deep", "convert it to 8 bits"),
        ("unlisted", "classes.txt does not list 'dog'"),
        ("twice", "classes.txt lists 'cat' twice"),
        ("text", "a.png is not a complete picture"),
        ("huge", r"huge.bmp is not a complete picture .* exceeds limit"),
        ("latin", "classes.txt is not in UTF-8 .* convert it"),
        ("empty@big", "'@big' is not a size"),
        ("empty@0", "'@0' is not a size"),
    ],
)
def test_each_error_is_one_line_with_the_correction(
    tmp_path: Path, spec: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    tree(tmp_path / "single", ("cat",))
    for name in ("a", "b"):
        picture(tmp_path / "deep" / name / "1.tif", mode="F")
    (tree(tmp_path / "unlisted") / "classes.txt").write_text("cat\n")
    (tree(tmp_path / "twice") / "classes.txt").write_text("cat\ndog\ncat\n")
    huge = bytearray(picture(tree(tmp_path / "huge") / "cat" / "huge.bmp").read_bytes())
    huge[18:26] = (60_000).to_bytes(4, "little") * 2
    (tmp_path / "huge" / "cat" / "huge.bmp").write_bytes(huge)
    (tree(tmp_path / "latin") / "classes.txt").write_text("hündin", encoding="latin-1")
    (tree(tmp_path / "text") / "cat" / "a.png").write_text("hello")
    with pytest.raises(CrossfireError, match=message) as caught:
        load(f"folder:{tmp_path / spec}")
    assert "\n" not in str(caught.value)


def test_accents_may_be_apart_from_their_letters(tmp_path: Path) -> None:
    """As in archives made on a Mac."""
    names = ("éclair", "fig")
    usual = load(f"folder:{tree(tmp_path / 'usual', names)}").test
    apart = tree(tmp_path / "apart", tuple(normalize("NFD", name) for name in names))
    assert load(f"folder:{apart}").test.sha256() == usual.sha256()
    (apart / "classes.txt").write_text("éclair\nfig\n", encoding="utf-8")
    assert (load(f"folder:{apart}").test.labels == 1 - usual.labels).all()


def test_names_of_classes_may_have_spaces(tmp_path: Path) -> None:
    tree(tmp_path, classes=("golden retriever", "cat"))
    (tmp_path / "classes.txt").write_text("golden retriever\ncat\n\n")
    assert load(f"folder:{tmp_path}").classes == 2
