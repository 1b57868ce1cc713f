"""A trained run as the small bundle of plain arrays that a browser plays with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triptych import experiment
from triptych.errors import DamagedError, TriptychError
from triptych.evaluation.latent_space.pullback import principal_directions, pullback_metrics
from triptych.evaluation.samples.prior import prior_latents, prior_name
from triptych.evaluation.subject import Network, Subject, as_levels
from triptych.playable.layers import Layer, apply, layers_of
from triptych.playable.quantise import BITS, text
from triptych.records import fit
from triptych.runs import Run
from triptych.types import STANDARD_NORMAL, Decodes, Encodes, Method, Samples

__all__ = ["bundle", "far", "write_playable"]

FORMAT = 1
"""What `model.js` reads; another number where a bundle means something else."""

STARTS = 12
"""Samples to start from."""
CALIBRATION = 128
"""Latents, or images, on which the error of quantised weights is looked at."""
TOLERANCE = 1 / 255
"""The largest error of any pixel there."""
EXACT = 1e-4
"""The largest difference, before quantisation, of the layers that were read to the network itself."""
REACHES = (3.0, -3.0, 10.0, -10.0, 100.0, -100.0)
"""Where the page's sliders end."""
DIRECTIONS = 6
"""Principal directions that are kept."""


def write_playable(
    run_path: Path, data_dir: str | None = None, data: str | None = None
) -> Path | None:
    """Write ``playable.json`` into a run's folder; none for a method that makes no images.

    Raises `TriptychError` where there is no run or no data, and for a network that
    the browser's runner does not know.
    """
    trained = experiment.open_trained(run_path, data_dir=data_dir, data=data, device="cpu")
    if not isinstance(trained.subject.method, (Decodes, Samples)):
        return None
    found = bundle(trained.run, trained.subject)
    trained.run.write("playable.json", json.dumps(found, separators=(",", ":")) + "\n")
    return run_path / "playable.json"


def bundle(run: Run, subject: Subject) -> dict[str, Any]:
    """Everything that `model.js` and `playground.js` want to know of a trained run that makes images, as JSON has it.

    ``shape`` C×H×W, ``latent``, whether the images are ``binary``; ``decode`` and, where the runner knows its layers, ``encode``:
    lists of layers (batch normalisation folded in) with weights of as few bits as keep every pixel within 1/255,
    also with one slider at its end; ``movement``, how far a step along each coordinate moves the picture, and the
    same of the first principal ``directions``; ``starts``, latents of a dozen samples, or, of a method that encodes,
    of held-out images that come with them as ``pixels``; ``draws`` of a prior that is not N(0, I); ``made_with``, which weights of the run all this is of.

    Raises `TriptychError` for a network that the browser's runner does not know.
    """
    method = subject.method
    assert isinstance(method, (Decodes, Samples))
    decoder = "decode" if isinstance(method, Decodes) else "sample"
    values, rows = _principal(run, subject, getattr(method, decoder))
    with torch.inference_mode():
        latents = draws = prior_latents(subject, CALIBRATION)
        z = latents[:STARTS]
        latents = torch.cat([latents, far(latents, rows[:DIRECTIONS])])
        found: dict[str, Any] = {
            "format": FORMAT,
            "made_with": subject.made_with.protocol(),
            "shape": list(subject.dataset.shape),
            "latent": method.latent,
            "binary": method.spec.values == "binary",
        }
        if isinstance(method, Decodes) and isinstance(method, Encodes):
            split = next(s for s in ("test", "valid", "train") if s in subject.dataset.splits)
            x = subject.examples(split, STARTS)
            encoding = subject.examples(split, CALIBRATION)
            latents = torch.cat([latents, method.encode(encoding)])
            z = method.encode(x)
            found |= {"pixels": text(as_levels(x))}
            # One that the runner does not know leaves the images to start from, and nothing to draw on.
            with suppress(TriptychError):
                found["encode"] = _encoder(method, encoding)
        found |= {"decode": _decoder(method, decoder, latents)}
    found["starts"] = text(z.numpy())
    if prior_name(method) != STANDARD_NORMAL:
        found["draws"] = text(draws.numpy())
    return found | _directions(subject, values, rows)


def far(z: Tensor, directions: Tensor) -> Tensor:
    """Latents of z N×latent moved as far as a slider goes, along every coordinate and direction, both ways."""
    ways = torch.cat([torch.eye(z.shape[1]), directions]).repeat_interleave(len(REACHES), 0)
    reaches = torch.tensor(REACHES).repeat(len(ways) // len(REACHES))
    return z[torch.arange(len(ways)) % len(z)] + reaches[:, None] * ways


def _decoder(method: nn.Module, name: str, z: Tensor) -> list[dict[str, Any]]:
    """Layers from a latent to pixels; an error of pixels is one in [0, 1]."""
    layers = _read(method, name, z.shape[1:], z)
    return _compact(layers, z, lambda pixels: pixels)


def _encoder(method: Method, x: Tensor) -> list[dict[str, Any]]:
    """Layers from pixels to a latent; its error is looked at in the picture that it decodes to."""
    assert isinstance(method, Decodes)
    layers = _read(method, "encode", x.shape[1:], x)
    return _compact(layers, x.flatten(1), lambda z: method.decode(z).flatten(1))


def _read(method: nn.Module, name: str, shape: Sequence[int], x: Tensor) -> list[Layer]:
    """The layers of a function of the method, found to compute what it computes."""
    layers = layers_of(method, name, shape)
    difference = (apply(layers, x.flatten(1)) - getattr(method, name)(x).flatten(1)).abs().max()
    if difference > EXACT:
        raise TriptychError(f"the layers read from '{name}' differ from it by {difference:.1e}")
    return layers


def _compact(
    layers: Sequence[Layer], x: Tensor, as_pixels: Callable[[Tensor], Tensor]
) -> list[dict[str, Any]]:
    """The layers as JSON, with the fewest bits a weight that keep every pixel within the tolerance, or the most."""
    exact = as_pixels(apply(layers, x))
    for bits in BITS:
        rough = as_pixels(apply([layer.quantised(bits) for layer in layers], x))
        if (rough - exact).abs().max() <= TOLERANCE:
            break
    return [layer.as_json(bits) for layer in layers]


def _principal(run: Run, subject: Subject, function: Network) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors, one a row, of the mean pullback metric; an evaluation's where there was one."""
    kept, spectrum = run.arrays("principal"), run.results().get("latent/principal_spectrum")
    measured = spectrum is not None and spectrum["protocol"].get("weights") == subject.weights
    if kept is not None and spectrum is not None and measured:
        return _kept(run, spectrum["value"], kept, subject.method.latent)
    metrics = pullback_metrics(function, prior_latents(subject, CALIBRATION))
    values, rows = principal_directions(metrics.mean(0))
    return values.float(), rows.float()


def _kept(run: Run, spectrum: Any, arrays: Mapping[str, Any], latent: int) -> tuple[Tensor, Tensor]:
    """An evaluation's directions, if they are as many as the latent space has, and numbers."""
    rows = np.asarray(arrays.get("directions"))
    try:
        fit(spectrum, {"eigenvalues": [(int, float)]}, "latent/principal_spectrum")
        right = len(spectrum["eigenvalues"]) == latent
        right = right and rows.shape == (latent, latent)
        if not (right and rows.dtype.kind == "f" and bool(np.isfinite(rows).all())):
            raise ValueError("its principal directions do not fit the network")
    except ValueError as error:
        raise DamagedError(run.path, str(error), "evaluate the run again") from None
    return torch.tensor(spectrum["eigenvalues"]), torch.from_numpy(rows.astype(np.float32))


def _directions(subject: Subject, values: Tensor, rows: Tensor) -> dict[str, Any]:
    """How far a unit step along each coordinate, and along each principal direction, moves the picture.

    The root mean square over pixels and latents from the prior: √(Mᵢᵢ / pixels) and √(λₖ / pixels) of the
    mean pullback metric M (`triptych.evaluation.latent_space.pullback`).
    """
    pixels = math.prod(subject.dataset.shape)
    along_axes = values @ rows.square()
    return {
        "movement": _rounded((along_axes / pixels).sqrt()),
        "directions": text(rows[:DIRECTIONS].numpy()),
        "principal": _rounded((values[:DIRECTIONS] / pixels).sqrt()),
    }


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{v:.4g}") for v in values.tolist()]
