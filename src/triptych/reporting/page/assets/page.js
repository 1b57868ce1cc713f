"use strict";
// Sliders among pictures, and curves that can be read with the pointer or the arrow keys.
(() => {
  // Milliseconds that a moment is seen for when moments are played.
  const MOMENT = 450;

  for (const figure of document.querySelectorAll(".frames")) {
    const pictures = figure.querySelectorAll(".stack img");
    const [slider, output, play] = ["input", "output", ".play"].map((selector) => figure.querySelector(selector));
    let playing = 0, chosen = false;

    const show = (place) => {
      slider.value = place;
      pictures.forEach((picture, i) => { picture.hidden = i !== place; });
      const { alt } = pictures[place];
      const label = alt.slice(alt.lastIndexOf(", ") + 2);
      output.textContent = label;
      slider.setAttribute("aria-valuetext", label);
    };
    const stop = () => {
      clearTimeout(playing);
      playing = 0;
      if (play) play.textContent = "\u25b6\ufe0e Play";
      output.setAttribute("aria-live", "polite");
    };
    const step = () => {
      if (Number(slider.value) === pictures.length - 1) { stop(); return; }
      show(Number(slider.value) + 1);
      playing = setTimeout(step, MOMENT);
    };
    slider.hidden = false;
    slider.addEventListener("input", () => { stop(); chosen = true; show(Number(slider.value)); });
    if (!play) continue;
    play.hidden = false;
    play.addEventListener("click", () => {
      if (playing) { stop(); return; }
      play.textContent = "\u23f8\ufe0e Pause";
      // Who listens hears where it stops, not all that goes by.
      output.setAttribute("aria-live", "off");
      // It begins in the middle to be looked at, and is played from the beginning, or from where somebody has put it.
      if (!chosen || Number(slider.value) === pictures.length - 1) show(0);
      chosen = true;
      playing = setTimeout(step, MOMENT);
    });
  }

  // As `number` of words.py: four figures, two decimals at least, so that neighbouring points differ.
  const said = (value) => {
    const digits = value ? Math.min(10, Math.max(2, 3 - Math.floor(Math.log10(Math.abs(value))))) : 0;
    const format = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    return value.toLocaleString("en", format).replace("-", "\u2212");
  };

  // Without scripts there is nothing to be pointed at.
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;

  const readable = (figure) => {
    const svg = figure.querySelector(".plot");
    const lines = JSON.parse(figure.querySelector(".points").textContent);
    const pointer = svg.querySelector(".pointer");
    const output = figure.querySelector(".reading");
    const { held } = svg.dataset;
    const wide = svg.viewBox.baseVal.width;
    // Half the widest gap between neighbouring points.
    const reach = (epochs) => Math.max(0, ...epochs.slice(1).map((e, i) => e - epochs[i])) / 2 + 1e-9;
    const end = Number(svg.dataset.ranges.split(" ")[1]);
    let epoch = end;

    const show = (at) => {
      epoch = Math.min(Math.max(at, 0), end);
      const parts = lines.flatMap(({ name, epochs, values }) => {
        let nearest = 0;
        epochs.forEach((e, i) => { if (Math.abs(e - epoch) < Math.abs(epochs[nearest] - epoch)) nearest = i; });
        // A line may begin late; what it is far from here it does not say.
        return Math.abs(epochs[nearest] - epoch) <= reach(epochs) ? [`${name} ${said(values[nearest])}`] : [];
      });
      pointer.setAttribute("transform", `translate(${wide * epoch / end} 0)`);
      pointer.setAttribute("visibility", "visible");
      const levels = held ? `; level of ${held}` : "";
      output.textContent = `epoch ${epoch.toFixed(2)}: ${parts.join(", ") || "nothing was logged here"}${levels}`;
    };
    const hide = () => { pointer.setAttribute("visibility", "hidden"); output.textContent = ""; };

    const point = (event) => {
      output.setAttribute("aria-live", "off");
      const box = svg.getBoundingClientRect();
      show(end * (event.clientX - box.left) / box.width);
    };
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointermove", point);
    // A finger that is lifted has not gone elsewhere: what it pointed at stays to be read.
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -end / 50, ArrowRight: end / 50, Home: -end, End: end }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      // Read aloud what the keys choose; the pointer would talk without end.
      output.setAttribute("aria-live", "polite");
      show(epoch + step);
    });
  };
  document.querySelectorAll(".chart").forEach(readable);
  // A page that lives puts new ones in the place of those of before.
  document.addEventListener("newchart", (event) => readable(event.target));
})();
