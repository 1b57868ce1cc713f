"use strict";
// Sliders among pictures, and curves that can be read with the pointer or the arrow keys.
(() => {
  for (const figure of document.querySelectorAll(".frames")) {
    const pictures = figure.querySelectorAll(".stack img");
    const [slider, output] = [figure.querySelector("input"), figure.querySelector("output")];
    slider.addEventListener("input", () => {
      pictures.forEach((picture, i) => { picture.hidden = i !== Number(slider.value); });
      const alt = pictures[Number(slider.value)].alt;
      const label = alt.slice(alt.lastIndexOf(", ") + 2);
      output.textContent = label;
      slider.setAttribute("aria-valuetext", label);
    });
  }

  // As `number` of words.py: four figures, two decimals at least, so that neighbouring points differ.
  const said = (value) => {
    const digits = value ? Math.min(10, Math.max(2, 3 - Math.floor(Math.log10(Math.abs(value))))) : 0;
    const format = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    return value.toLocaleString("en", format).replace("-", "\u2212");
  };

  const readable = (figure) => {
    const svg = figure.querySelector(".plot");
    const lines = JSON.parse(figure.querySelector(".points").textContent);
    const pointer = svg.querySelector(".pointer");
    const output = figure.querySelector(".reading");
    const { left, right } = svg.dataset;
    // Half the widest gap between neighbouring points.
    const reach = (epochs) => Math.max(0, ...epochs.slice(1).map((e, i) => e - epochs[i])) / 2 + 1e-9;
    const end = Number(svg.dataset.ranges.split(" ")[1]);
    const hint = output.textContent;
    let epoch = end;

    const show = (at) => {
      epoch = Math.min(Math.max(at, 0), end);
      const parts = lines.flatMap(({ name, epochs, values }) => {
        let nearest = 0;
        epochs.forEach((e, i) => { if (Math.abs(e - epoch) < Math.abs(epochs[nearest] - epoch)) nearest = i; });
        // A line may begin late; what it is far from here it does not say.
        return Math.abs(epochs[nearest] - epoch) <= reach(epochs) ? [`${name} ${said(values[nearest])}`] : [];
      });
      const x = Number(left) + (Number(right) - Number(left)) * epoch / end;
      pointer.setAttribute("transform", `translate(${x} 0)`);
      pointer.setAttribute("visibility", "visible");
      output.textContent = `epoch ${epoch.toFixed(2)}: ${parts.join(", ") || "nothing was logged here"}`;
    };
    const hide = () => { pointer.setAttribute("visibility", "hidden"); output.textContent = hint; };

    const point = (event) => {
      output.setAttribute("aria-live", "off");
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      show(end * (x - Number(left)) / (Number(right) - Number(left)));
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
