"""What a process holds of its own where images are many: measured in one of its own, as Linux counts it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")

WATCH = """
import sys, threading
from pathlib import Path
import numpy as np, torch

def anonymous():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) * 1024

def growth(work):
    before, most, done = anonymous(), [0], threading.Event()
    def watch():
        while not done.wait(0.001):
            most[0] = max(most[0], anonymous())
    watching = threading.Thread(target=watch)
    watching.start()
    work()
    done.set()
    watching.join()
    print(max(most[0], anonymous()) - before)
"""

EPOCHS = """
from triptych.config import ViewsConfig
from triptych.data.spec import Images
from triptych.data.stream import Stream

count, path = int(sys.argv[1]), sys.argv[2]
pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 3, 32, 32))
stream = Stream(Images(pixels, None), 50, 0, torch.device("cpu"), views=ViewsConfig(flip=0.5))
growth(lambda: [stream.batch(number) for number in (0, stream.batches_per_epoch)])
"""

NEIGHBOURS = """
from triptych.data.spec import Dataset, Images
from triptych.evaluation.labels import judged
from triptych.evaluation.representation import knn
from triptych.evaluation.subject import Subject

def some(count):
    pixels = np.random.default_rng(count).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    return Images(pixels, np.arange(count) % 2)

knn.PART = 2**24
dataset = Dataset("made", "Made", {"train": some(5500), "test": some(1000)}, None, "colour", "")
subject = Subject(torch.nn.Module(), dataset, "none", torch.device("cpu"))
growth(lambda: knn.scored_pixels(subject, "test", judged(dataset, "test")))
"""

FEATURES = """
from triptych.evaluation.representation import knn, probe

count, wide = int(sys.argv[1]), 128
classes = torch.arange(count) % 10
x = torch.randn(count, wide)
x[:, :10] += torch.nn.functional.one_hot(classes, 10)
train, few = probe.Fold(x, classes.numpy()), probe.Fold(x[:1000], classes[:1000].numpy())
probe.EPOCHS, probe.ITERATIONS = 1, 2
growth({
    "sgd": lambda: probe.sgd_probe(train, few, few.x),
    "logistic": lambda: probe.logistic_probe(train, few, few.x),
    "a large bank": lambda: knn.knn_predict(x, classes, x[:50], 200),
    "many queries": lambda: knn.knn_predict(x[:1000], classes[:1000], x[::4], 200),
}[sys.argv[2]])
"""


def grown(code: str, *words: object) -> int:
    """Bytes by which a new process grew at most while it did the work of `code`."""
    command = [sys.executable, "-c", WATCH + code, *map(str, words)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_an_epoch_more_takes_a_bounded_number_of_bytes_an_image(tmp_path):
    """Two tables of draws at once, and what is tried for all crops at once, came to 600."""
    # So far apart that what an allocator holds back, some 15 MB, counts for little.
    few, many = (grown(EPOCHS, count, tmp_path / f"{count}.npy") for count in (100_000, 500_000))
    assert (many - few) / 400_000 < 350


def test_neighbours_of_raw_pixels_take_memory_that_is_used_again():
    """Parts of 2.8 MB were made anew for every query: 2.9 GB."""
    assert grown(NEIGHBOURS) < 500e6


@pytest.mark.parametrize(
    ("what", "copies"),
    [("sgd", 0.5), ("logistic", 1.5), ("a large bank", 1.9), ("many queries", 1.0)],
)
def test_what_is_measured_of_features_holds_no_second_copy_of_them(what, copies):
    """Padded, in the order of an epoch, standardised, turned, or with the neighbours of all queries: it was two to three."""
    few = grown(FEATURES, 100_000, what)
    # A copy is there every time; what an allocator holds back beside other work is not.
    many = min(grown(FEATURES, 400_000, what) for _ in range(2))
    assert (many - few) / (300_000 * 128 * 4) < copies
