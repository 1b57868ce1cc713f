"""The data plane: named data sets and a person's own images, decoded once to uint8 arrays.

`load` is the way in; `catalog`, `whereabouts` and `get` are what ``triptych data`` shows.
"""

from triptych.data.broken import broken_images
from triptych.data.catalog import Entry, catalog
from triptych.data.find import entry_for, find, get, whereabouts
from triptych.data.load import kept, load
from triptych.data.sources import Source
from triptych.data.spec import DataConfig, Dataset, Images, Values

__all__ = [
    "DataConfig",
    "Dataset",
    "Entry",
    "Images",
    "Source",
    "Values",
    "broken_images",
    "catalog",
    "entry_for",
    "find",
    "get",
    "kept",
    "load",
    "whereabouts",
]
