"""What a paired comparison of ways through latent and pixel space says, in words."""

from __future__ import annotations

from triptych.evaluation.statistics import Paired

__all__ = ["finding"]


def finding(primary: Paired, control: Paired | None, features: str) -> str:
    """What the primary comparison says, following its interval, and whether the control lets it.

    ``control`` is the distance of overlays of held-out images − that of the
    images themselves: features that do not see them as farther away cannot tell
    an overlay from an image. An interval that has 0 in it decides nothing, and says how large
    a difference may be.
    """
    if primary.low == primary.high == 0:
        return (
            "Linear latent and pixel interpolation are equally far from the training images in each of "
            f"{primary.n} pairs ({features})."
        )
    interval = f"95 % interval {primary.low:.3g} to {primary.high:.3g}, {primary.n} pairs"
    interval = f"({features}; latent − pixel: {interval.replace('-', '−')})."
    if primary.low <= 0 <= primary.high:
        mean = f"{primary.mean:+.3g}".replace("-", "−")
        said = (
            "Whether linear latent or pixel interpolation stays nearer to the training images is undecided: "
            f"the distances differ by {mean} {interval}"
        )
    else:
        side = "nearer to" if primary.mean < 0 else "farther from"
        said = (
            f"Linear latent interpolation stays {abs(primary.mean):.3g} {side} the training images "
            f"than pixel interpolation {interval}"
        )
    if control is not None and control.low <= 0:
        said += (
            " But these features do not place overlays of two held-out images farther away than the "
            "images themselves: nothing follows from it."
        )
    return said
