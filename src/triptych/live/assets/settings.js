"use strict";
// Parallel coordinates: an axis for each setting that differs, and the last one for the number that says most about a run.
(() => {
  const box = document.getElementById("settings"), svg = box.querySelector("svg"), output = box.querySelector("output");
  const WIDTH = 1000, HEIGHT = 300, TOP = 44, BOTTOM = 276, SIDE = 70, NAMED = 12;
  const make = (tag, attributes, text = "") => {
    const found = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
    found.textContent = text;
    return found;
  };
  const short = (text) => text.length > 14 ? `${text.slice(0, 13)}…` : text;

  // Where a value stands on its axis, from 0 to 1, and what is written beside it.
  const axis = (title, all) => {
    const given = all.filter((v) => v !== "" && v !== null && v !== undefined);
    const numbers = given.map(Number);
    if (given.length && numbers.every(Number.isFinite) && new Set(numbers).size > 1) {
      // Rates and widths are chosen by factors.
      const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
      const scale = low > 0 && high / low >= 20 ? Math.log : (v) => v;
      const at = (v) => (scale(Number(v)) - scale(low)) / (scale(high) - scale(low));
      const kinds = [...new Set(numbers)].sort((a, b) => a - b);
      const said = (v) => String(Number(v.toPrecision(4))).replace("-", "\u2212");
      return { title, at, ticks: (kinds.length <= 6 ? kinds : [low, high]).map((v) => [at(v), said(v)]) };
    }
    const kinds = [...new Set(given.map(String))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const at = (v) => kinds.length > 1 ? kinds.indexOf(String(v)) / (kinds.length - 1) : 0.5;
    return { title, at, ticks: (kinds.length <= NAMED ? kinds : []).map((v) => [at(v), v]) };
  };

  const draw = ({ told, found, plain }) => {
    // The number that most runs have: others cannot stand on one axis with it.
    const counts = new Map();
    for (const row of found) if (typeof row.number === "number") counts.set(row.label, (counts.get(row.label) || 0) + 1);
    const label = [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
    const runs = found.filter((row) => row.label === label && typeof row.number === "number");
    box.hidden = runs.length < 3 || !told.fields.length;
    if (box.hidden || !box.open) return;
    const axes = [
      ...told.fields.map((field, i) => axis(plain(field), runs.map((r) => r.settings[i]))),
      axis(label, runs.map((r) => r.number)),
    ];
    const x = (i) => SIDE + (WIDTH - 2 * SIDE) * i / (axes.length - 1);
    const y = (share) => BOTTOM - (BOTTOM - TOP) * share;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("aria-label", `${runs.length} runs by ${axes.map((a) => a.title).join(", ")}`);
    const parts = [];
    const lines = runs.map((run) => {
      const points = [...run.settings.map((v, i) => [i, v]), [axes.length - 1, run.number]].filter(([, v]) => v !== "");
      const shown = told.shown.includes(run.run);
      const line = make("path", {
        class: shown ? "line shown" : "line",
        d: `M${points.map(([i, v]) => `${x(i).toFixed(1)} ${y(axes[i].at(v)).toFixed(1)}`).join("L")}`,
      });
      line.addEventListener("pointerenter", () => {
        output.textContent = `${run.name}: ${axes.slice(0, -1).map((a, i) => `${a.title} ${run.settings[i]}`).join(", ")}; ${label} ${run.value}`;
      });
      return [shown, line];
    });
    parts.push(...lines.sort((a, b) => a[0] - b[0]).map(([, line]) => line));
    axes.forEach((a, i) => {
      const anchor = i === axes.length - 1 ? "end" : i ? "middle" : "start";
      const near = i === 0 ? 0 : i === axes.length - 1 ? WIDTH : x(i);
      parts.push(make("line", { class: "axis", x1: x(i), x2: x(i), y1: TOP, y2: BOTTOM }));
      const title = make("text", { class: "tick", x: near, y: i % 2 ? 14 : 32, "text-anchor": anchor }, a.title);
      parts.push(title);
      const last = i === axes.length - 1;
      for (const [share, said] of a.ticks) {
        parts.push(make("text", { class: "tick", x: x(i) + (last ? 8 : -8), y: y(share) + 5, "text-anchor": last ? "start" : "end" }, short(said)));
      }
    });
    svg.replaceChildren(...parts);
  };
  let latest = null;
  document.addEventListener("runs", (event) => { latest = event.detail; draw(latest); });
  box.addEventListener("toggle", () => { if (latest) draw(latest); });
})();
