"""What is asked of PyTorch to record a step, by a stand-in for it: how streams are left where a recording breaks off."""

from __future__ import annotations

import warnings
import weakref
from contextlib import contextmanager

import pytest
import torch

from triptych.training.step import CudaGraph


class Streams:
    """The streams of a card: which one is in use, and which has waited for which."""

    def __init__(self) -> None:
        self.now, self.waited, self.asked = self.new(), [], "default"

    def new(self):
        streams = self

        class Stream:
            def wait_stream(self, other) -> None:
                streams.waited.append((self, other))

        return Stream()

    @contextmanager
    def used(self, stream):
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before

    def graph(self, graph, stream=None, capture_error_mode="global"):
        return Recording(self, stream or self.new())

    def set_sync_debug_mode(self, mode: str) -> None:
        if mode == "error":
            warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)
        self.asked = mode


class Recording:
    """`torch.cuda.graph`: where ending the recording fails, the stream that it had before is not put back."""

    def __init__(self, streams: Streams, stream) -> None:
        self.streams, self.stream = streams, stream

    def __enter__(self) -> None:
        self.before, self.streams.now = self.streams.now, self.stream

    def __exit__(self, kind, value, trace) -> None:
        if kind is not None:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.streams.now = self.before


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    found = Streams()
    for name, value in {
        "CUDAGraph": object,
        "Stream": found.new,
        "stream": found.used,
        "current_stream": lambda: found.now,
        "graph": found.graph,
        "get_sync_debug_mode": lambda: found.asked,
        "set_sync_debug_mode": found.set_sync_debug_mode,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return found


def test_what_is_put_back_after_a_broken_recording_is_waited_for(streams: Streams):
    main, graph = streams.now, CudaGraph()

    def asks() -> None:
        raise ValueError("asks the host")

    with graph.aside():
        aside = streams.now
        with pytest.raises(RuntimeError, match="previous error"):
            graph.record(asks, [])
        put_back_on = streams.now
    assert put_back_on is aside is not main
    assert streams.now is main
    assert streams.waited == [(aside, main), (main, aside)]


def test_what_nobody_holds_is_gone_before_a_recording_begins(streams: Streams):
    """PyTorch collected such cycles itself until version 2.9; a gradient's node in one waits for the stream it was made on."""

    class Cycle:
        pass

    there = []
    cycle = Cycle()
    cycle.itself, held = cycle, weakref.ref(cycle)
    del cycle
    graph = CudaGraph()
    with graph.aside():
        graph.record(lambda: there.append(held()), [])
    assert there == [None]


def test_questions_fail_while_they_are_looked_for_and_no_longer(streams: Streams):
    graph = CudaGraph()
    with graph.unasked():
        within = streams.asked
    with pytest.raises(ValueError, match="mine"), graph.unasked():
        raise ValueError("mine")
    assert (within, streams.asked) == ("error", "default")
