"""How long one picture takes in a browser: the page's runner against plain loops over a transposed convolution.

    .venv/bin/python benchmarks/playground.py

The generator is the reference report's (100 latents, width 64, 32×32 in colour), untrained: its speed does not
depend on its weights. Both run in the same page in turn; the ratios are of neighbours.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from triptych import experiment
from triptych.config import Duration
from triptych.playable.export import write_playable
from triptych.reporting.page.page import write_page

TURNS = 30

PLAIN = """
(bundle) => {
  // Every weight as a number, and the definition of each layer as nested loops.
  const layers = bundle.plain;
  return (z) => layers.reduce((x, layer) => {
    if (layer.op === "linear") return layer.bias.map((b, r) => layer.weight[r].reduce((s, w, i) => s + w * x[i], b));
    if (layer.op !== "deconv") return x.map(POINTWISE[layer.op](...layer.numbers));
    const [ic, ih, iw] = layer.input, [oc, oh, ow] = layer.output, k = layer.kernel;
    const out = new Float32Array(oc * oh * ow);
    for (let o = 0; o < oc; o++) out.fill(layer.bias[o], o * oh * ow, (o + 1) * oh * ow);
    for (let c = 0; c < ic; c++) for (let y = 0; y < ih; y++) for (let u = 0; u < iw; u++) {
      const v = x[(c * ih + y) * iw + u];
      for (let o = 0; o < oc; o++) for (let a = 0; a < k; a++) for (let b = 0; b < k; b++) {
        const oy = y * layer.stride - layer.padding + a, ox = u * layer.stride - layer.padding + b;
        if (oy >= 0 && oy < oh && ox >= 0 && ox < ow) out[(o * oh + oy) * ow + ox] += v * layer.weight[(o * k + a) * k + b][c];
      }
    }
    return out;
  }, z);
}
"""

TIME = """
([plain, turns]) => {
  const POINTWISE = {
    relu: () => (v) => Math.max(v, 0), tanh: () => Math.tanh, affine: (a, b) => (v) => a * v + b,
  };
  const bundle = JSON.parse(document.querySelector(".playground .bundle").textContent);
  const model = TriptychModel.read(bundle);
  // The same weights, unpacked by the page's own reader through unit vectors would take minutes: any will do.
  bundle.plain = bundle.decode.map((layer) => {
    if (!layer.weight) return layer;
    const rows = TriptychModel.floats(layer.scale).length;
    const inner = layer.op === "deconv" ? layer.input[0] : bundle.latent;
    const weight = Array.from({ length: rows }, () => Float32Array.from({ length: inner }, () => Math.random() - 0.5));
    return { ...layer, weight, bias: Array.from(TriptychModel.floats(layer.bias)) };
  });
  const other = eval(plain)(bundle), z = model.starts[0];
  const timed = (run) => { const began = performance.now(); run(z); return performance.now() - began; };
  return Array.from({ length: turns }, () => [timed(model.decode), timed(other)]);
}
"""


def page(folder: Path) -> Path:
    """A page with the generator in it."""
    images = np.random.default_rng(0).integers(0, 256, (96, 32, 32, 3)).astype(np.uint8)
    np.save(folder / "images.npy", images)
    config = experiment.default_config("wgan", "reference")
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, name=str(folder / "images.npy")),
        train=dataclasses.replace(config.train, duration=Duration(1, "steps")),
    )
    run = experiment.train(config, folder / "run").path
    write_playable(run)
    size = (run / "playable.json").stat().st_size
    parts = json.loads((run / "playable.json").read_text())["decode"]
    bits = {layer["bits"] for layer in parts if "bits" in layer}
    print(f"model in the page: {size / 1e6:.2f} MB, {bits.pop()} bits a weight")
    return write_page([run], folder / "page.html")


def main() -> None:
    """Print medians, and the ratio's quartiles."""
    own = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=own)
        # The benchmark's own text is run by eval, which the page's policy forbids.
        context = browser.new_context(offline=True, bypass_csp=True)
        tab = context.new_page()
        tab.goto(page(Path(folder)).as_uri())
        taken = tab.evaluate(TIME, [PLAIN, TURNS])[TURNS // 3 :]
        print(f"Chromium {browser.version}")
    ours, plain = (statistics.median(column) for column in zip(*taken, strict=True))
    low, middle, high = statistics.quantiles([b / a for a, b in taken], n=4)
    print(f"one picture: {ours:.1f} ms; plain loops {plain:.1f} ms")
    print(f"ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
