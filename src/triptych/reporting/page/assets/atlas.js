"use strict";
// An atlas: thumbnails placed by their features; the one under the pointer is joined to its nearest.
(() => {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const printed = matchMedia("print");
  const STEPS = 2047, CLOSEST = 24, TURN = 650, SLACK = 5, FINGER = 22;
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const between = (x, low, high) => Math.min(Math.max(x, low), high);
  const ease = (t) => (t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2);

  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const light = (rgb) => rgb.map((c) => ((c / 255 + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  // A dark colour is mixed with white until it stands out from the dark paper.
  const onDark = (hex) => {
    let rgb = channels(hex);
    while (light(rgb) < 0.13) rgb = rgb.map((c) => c + 0.1 * (255 - c));
    return `rgb(${rgb.map(Math.round).join(" ")})`;
  };

  const start = (root) => {
    const data = JSON.parse(root.querySelector("script").textContent);
    const { labels, classes, nearest, similarity, index } = data;
    const [wide, high] = data.tile;
    const find = (selector) => root.querySelector(selector);
    const [canvas, panel, chosen, list, status] = [".sea canvas", ".panel", ".chosen", "ol", ".said"].map(find);
    const context = canvas.getContext("2d");
    const sheet = new Image();
    const maps = Object.fromEntries(Object.entries(data.maps).map(([name, points]) => [name, Float64Array.from(points)]));
    let from = maps.tsne, to = maps.tsne, turned = 1;
    const at = Float64Array.from(to);
    const view = { x: 0, y: 0, zoom: 1 }, goal = { ...view };
    const off = new Set(), legend = [];
    let hovered = -1, pinned = -1, dim = 0, last = 0, asked = 0, telling = 0;
    let width = 1, height = 1, colours = {};

    const shown = () => (pinned >= 0 ? pinned : hovered);
    const hidden = (i) => labels !== undefined && off.has(labels[i]);
    const name = (i) => `image ${index[i].toLocaleString("en")}`;
    const className = (i) => (labels === undefined ? "" : classes[labels[i]][0]);
    const same = (i, j) => labels !== undefined && labels[i] === labels[j];

    // Pixels a step of the map, and of a thumbnail, which grows more slowly: what overlaps comes apart.
    const base = () => Math.sqrt(0.36 * width * height / index.length);
    const size = () => between(base(), 9, 40) * view.zoom ** 0.62;
    const scale = (zoom = view.zoom) => (Math.min(width, height) / 2 - 0.75 * between(base(), 9, 40)) / STEPS * zoom;
    const across = (i) => width / 2 + (at[2 * i] - view.x) * scale();
    const down = (i) => height / 2 + (at[2 * i + 1] - view.y) * scale();

    const recolour = () => {
      const style = getComputedStyle(root), night = dark.matches && !printed.matches;
      const own = (name) => style.getPropertyValue(name).trim();
      colours = { paper: own("--paper"), ink: own("--ink"), accent: own("--accent"), plain: own("--muted") };
      colours.classes = (classes ?? []).map(([, hex]) => (hex === null ? colours.plain : night ? onDark(hex) : hex));
      for (const [button, c] of legend) button.style.setProperty("--swatch", colours.classes[c]);
      choose();
    };
    const colour = (i) => (labels === undefined ? colours.plain : colours.classes[labels[i]]);

    const tile = (target, i, x, y, w, h) =>
      target.drawImage(sheet, i % data.columns * wide, Math.floor(i / data.columns) * high, wide, high, x, y, w, h);

    const thumbnail = (i, side, x = across(i), y = down(i), rim = 0) => {
      const longer = side / Math.max(wide, high), [w, h] = [wide * longer, high * longer];
      if (x + w < 0 || y + h < 0 || x - w > width || y - h > height) return;
      const frame = between(side * 0.08, 1.25, 5), edge = frame + rim;
      context.fillStyle = colours.ink;
      if (rim > 0) context.fillRect(x - w / 2 - edge, y - h / 2 - edge, w + 2 * edge, h + 2 * edge);
      context.fillStyle = colour(i);
      context.fillRect(x - w / 2 - frame, y - h / 2 - frame, w + 2 * frame, h + 2 * frame);
      context.imageSmoothingEnabled = longer * devicePixelRatio < 1.5;
      tile(context, i, x - w / 2, y - h / 2, w, h);
    };

    // The enlarged image stands beside its place, where it covers least of its neighbours.
    const aside = (one, large) => {
      const clear = [one, ...nearest[one]].map((j) => [across(j), down(j)]);
      let found = [0, 0], most = -1;
      for (let turn = 0; turn < 16; turn++) {
        const [along, out] = [turn * Math.PI / 8, 0.75 * large + size()];
        const x = between(clear[0][0] + out * Math.cos(along), 0.6 * large, width - 0.6 * large);
        const y = between(clear[0][1] + out * Math.sin(along), 0.6 * large, height - 0.6 * large);
        const room = Math.min(...clear.map(([u, v]) => Math.max(Math.abs(u - x), Math.abs(v - y))));
        if (room > most) [found, most] = [[x, y], room];
      }
      return found;
    };

    const joined = (i) => {
      for (const [stroke, thick] of [[colours.paper, 5], [colours.ink, 1.75]]) {
        context.beginPath();
        for (const j of nearest[i]) {
          context.moveTo(across(i), down(i));
          context.lineTo(across(j), down(j));
        }
        [context.strokeStyle, context.lineWidth] = [stroke, thick];
        context.stroke();
      }
    };

    const draw = () => {
      const ratio = devicePixelRatio, [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.fillStyle = colours.paper;
      context.fillRect(0, 0, width, height);
      const one = shown(), side = size();
      for (let i = 0; i < index.length; i++) {
        context.globalAlpha = hidden(i) ? 0.07 : 1 - 0.72 * dim;
        thumbnail(i, side);
      }
      context.globalAlpha = 1;
      if (one < 0) return;
      joined(one);
      for (const j of nearest[one].toReversed()) thumbnail(j, Math.max(1.35 * side, 22));
      const large = between(2.6 * side, 56, 84), [x, y] = aside(one, large);
      context.beginPath();
      context.moveTo(across(one), down(one));
      context.lineTo(x, y);
      [context.strokeStyle, context.lineWidth] = [colours.ink, 5];
      context.stroke();
      thumbnail(one, Math.max(1.35 * side, 22), across(one), down(one), 2);
      thumbnail(one, large, x, y, 2);
    };

    const frame = (now) => {
      asked = 0;
      const passed = Math.min(now - last, 50);
      last = now;
      const slow = calm.matches ? 1 : 1 - Math.exp(-passed / 70);
      turned = calm.matches ? 1 : Math.min(1, turned + passed / TURN);
      for (let i = 0; i < at.length; i++) at[i] = from[i] + (to[i] - from[i]) * ease(turned);
      let moving = turned < 1;
      for (const key of ["x", "y", "zoom"]) {
        view[key] += (goal[key] - view[key]) * slow;
        if (Math.abs(goal[key] - view[key]) < (key === "zoom" ? 1e-3 : 0.3)) view[key] = goal[key];
        else moving = true;
      }
      const dimmed = shown() < 0 ? 0 : 1;
      dim += (dimmed - dim) * slow;
      if (Math.abs(dimmed - dim) < 0.02) dim = dimmed;
      draw();
      if (moving || dim !== dimmed) ask();
    };
    // A pause is not time that passes in an animation.
    const ask = () => {
      if (asked) return;
      if (performance.now() - last > 100) last = performance.now();
      asked = requestAnimationFrame(frame);
    };

    const picture = (target, i) => {
      [target.width, target.height] = [wide, high];
      tile(target.getContext("2d"), i, 0, 0, wide, high);
    };
    const entries = nearest[0].map((_, place) => {
      const [item, button] = [document.createElement("li"), document.createElement("button")];
      const thumb = document.createElement("canvas");
      thumb.setAttribute("aria-hidden", "true");
      const words = ["number", "class", "cosine"].map((kind) => {
        const span = document.createElement("span");
        span.className = kind;
        return span;
      });
      button.type = "button";
      button.append(thumb, ...words);
      button.addEventListener("click", () => { pinned = nearest[shown()][place]; choose(); look(pinned); });
      item.append(button);
      list.append(item);
      return { thumb, words };
    });

    const tell = (i) => {
      const about = (j) => (className(j) ? `, ${className(j)}` : "");
      const others = nearest[i].map((j, n) => `${name(j)}${about(j)}, ${similarity[i][n].toFixed(3)}`);
      return `${name(i)}${about(i)}. ${find(".shared").textContent} Nearest: ${others.join("; ")}.`;
    };

    const choose = () => {
      const i = shown();
      find(".hint").hidden = i >= 0;
      chosen.hidden = i < 0;
      chosen.classList.toggle("pinned", pinned >= 0);
      clearTimeout(telling);
      ask();
      if (i < 0) return;
      panel.style.setProperty("--swatch", colour(i));
      picture(find(".self canvas"), i);
      find(".name").textContent = `${name(i)} of the ${data.split} split`;
      find(".self .class").textContent = labels === undefined ? "" : `class ${className(i)}`;
      const alike = nearest[i].filter((j) => same(i, j)).length;
      find(".shared").textContent = labels === undefined ? "Nearest by cosine:" : `${alike} of ${nearest[i].length} neighbours share its class.`;
      nearest[i].forEach((j, place) => {
        const { thumb, words: [number, kind, cosine] } = entries[place];
        picture(thumb, j);
        number.textContent = name(j);
        kind.textContent = `${className(j)}${same(i, j) ? " \u2713" : ""}`;
        kind.classList.toggle("same", same(i, j));
        cosine.textContent = similarity[i][place].toFixed(3).replace("-", "\u2212");
      });
      // Whoever listens hears where the pointer rests, not all that it passes.
      telling = setTimeout(() => { status.textContent = tell(i); }, 400);
    };

    const under = (x, y, reach) => {
      let found = -1, least = Infinity;
      for (let i = 0; i < index.length; i++) {
        const [dx, dy] = [across(i) - x, down(i) - y], far = Math.hypot(dx, dy);
        if (!hidden(i) && far < least && Math.max(Math.abs(dx), Math.abs(dy)) <= reach) [found, least] = [i, far];
      }
      return found;
    };

    // One finger scrolls the page as long as there is nothing to move.
    const touch = () => { canvas.style.touchAction = goal.zoom > 1 ? "none" : "pan-y"; };
    const keepInside = () => {
      const reach = STEPS * (1 - 1 / goal.zoom);
      [goal.x, goal.y] = [between(goal.x, -reach, reach), between(goal.y, -reach, reach)];
    };
    const zoomBy = (factor, x = width / 2, y = height / 2, atOnce = false) => {
      const before = scale(goal.zoom);
      goal.zoom = between(goal.zoom * factor, 1, CLOSEST);
      const after = scale(goal.zoom);
      goal.x += (x - width / 2) * (1 / before - 1 / after);
      goal.y += (y - height / 2) * (1 / before - 1 / after);
      keepInside();
      if (atOnce) Object.assign(view, goal);
      touch();
      ask();
    };
    const moveBy = (dx, dy) => {
      goal.x -= dx / scale(goal.zoom);
      goal.y -= dy / scale(goal.zoom);
      keepInside();
      Object.assign(view, goal);
      ask();
    };
    const reset = () => { Object.assign(goal, { x: 0, y: 0, zoom: 1 }); touch(); ask(); };
    // Bring an image into view where it is not.
    const look = (i) => {
      const [x, y] = [(to[2 * i] - goal.x) * scale(goal.zoom), (to[2 * i + 1] - goal.y) * scale(goal.zoom)];
      if (Math.abs(x) > 0.42 * width || Math.abs(y) > 0.42 * height) [goal.x, goal.y] = [to[2 * i], to[2 * i + 1]];
      keepInside();
      ask();
    };

    const fingers = new Map();
    let dragged = false, steered = false, seen = "";
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
    };
    const hover = (i) => { if (i !== hovered) { hovered = i; if (pinned < 0) choose(); } };
    const release = (event) => {
      fingers.delete(event.pointerId);
      canvas.classList.remove("held");
    };
    canvas.addEventListener("pointerdown", (event) => {
      dragged = fingers.size > 0;
      fingers.set(event.pointerId, place(event));
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      // The browser also reports a pointer that stands still while the page scrolls below it.
      steered ||= seen !== (seen = `${event.clientX} ${event.clientY}`);
      if (!fingers.has(event.pointerId)) return hover(under(x, y, size() / 2 + 1));
      const [oldX, oldY] = fingers.get(event.pointerId);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (!other && !dragged && Math.hypot(x - oldX, y - oldY) < SLACK) return undefined;
      dragged = true;
      canvas.classList.add("held");
      fingers.set(event.pointerId, [x, y]);
      if (other) {
        const stretch = Math.hypot(x - other[0], y - other[1]) / Math.max(1, Math.hypot(oldX - other[0], oldY - other[1]));
        zoomBy(stretch, (x + other[0]) / 2, (y + other[1]) / 2, true);
      }
      return moveBy((x - oldX) / fingers.size, (y - oldY) / fingers.size);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!dragged) {
        const found = under(...place(event), Math.max(size() / 2 + 1, event.pointerType === "mouse" ? 0 : FINGER));
        pinned = found === pinned ? -1 : found;
        hovered = event.pointerType === "mouse" ? found : -1;
        choose();
      }
      release(event);
    });
    canvas.addEventListener("pointercancel", release);
    canvas.addEventListener("pointerleave", () => hover(-1));
    // Who scrolls the page over the map goes on scrolling; who points at it first zooms.
    addEventListener("scroll", () => { steered = false; }, { passive: true });
    canvas.addEventListener("wheel", (event) => {
      const outwards = event.deltaY > 0 && goal.zoom === 1;
      if (!event.ctrlKey && (!steered || outwards)) return;
      event.preventDefault();
      const step = event.deltaY * (event.deltaMode === 1 ? 20 : 1) * (event.ctrlKey ? 0.01 : 0.002);
      zoomBy(Math.exp(-between(step, -0.5, 0.5)), ...place(event), true);
      hover(under(...place(event), size() / 2 + 1));
    }, { passive: false });

    const next = ([right, below]) => {
      const one = shown();
      const [x, y] = one < 0 ? [width / 2, height / 2] : [across(one), down(one)];
      if (one < 0) return under(x, y, Infinity);
      let found = one, least = Infinity;
      for (let i = 0; i < index.length; i++) {
        const [dx, dy] = [across(i) - x, down(i) - y];
        const ahead = dx * right + dy * below, sideways = Math.abs(dx * below - dy * right);
        if (!hidden(i) && i !== one && ahead > 0 && sideways <= ahead && ahead + sideways < least) [found, least] = [i, ahead + sideways];
      }
      return found;
    };
    const keys = {
      Enter: () => { pinned = pinned >= 0 ? -1 : hovered; choose(); },
      Escape: () => { pinned = hovered = -1; choose(); },
      "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: reset,
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (ARROWS[event.key]) {
        hovered = next(ARROWS[event.key]);
        pinned = -1;
        choose();
        if (hovered >= 0) look(hovered);
      } else if (keys[event.key]) keys[event.key]();
      else return;
      event.preventDefault();
    });

    const buttons = root.querySelectorAll(".switch button");
    for (const button of buttons) {
      button.addEventListener("click", () => {
        for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
        [from, to, turned] = [Float64Array.from(at), maps[button.dataset.map], 0];
        ask();
      });
    }
    const zooms = { in: () => zoomBy(1.5), out: () => zoomBy(1 / 1.5), reset };
    for (const button of root.querySelectorAll(".zoom button")) button.addEventListener("click", zooms[button.dataset.zoom]);
    // Classes without a colour of their own are shown and hidden together.
    const rest = (classes ?? []).flatMap(([, hex], c) => (hex === null ? [c] : []));
    const groups = (classes ?? []).flatMap(([title, hex], c) => (hex === null ? [] : [[title, [c]]]));
    if (rest.length > 0) groups.push([`${rest.length} other classes`, rest]);
    for (const [title, members] of groups) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        const back = off.has(members[0]);
        members.forEach((c) => (back ? off.delete(c) : off.add(c)));
        button.setAttribute("aria-pressed", String(back));
        if (hovered >= 0 && hidden(hovered)) hovered = -1;
        if (pinned >= 0 && hidden(pinned)) pinned = -1;
        choose();
      });
      legend.push([button, members[0]]);
      find(".classes").append(button);
    }

    const fit = () => { [width, height] = [canvas.clientWidth, canvas.clientHeight]; draw(); };
    sheet.addEventListener("load", () => {
      find(".live").hidden = false;
      find(".unscripted").hidden = true;
      recolour();
      new ResizeObserver(fit).observe(canvas);
      for (const query of [dark, printed]) query.addEventListener("change", () => { recolour(); draw(); });
    });
    sheet.src = data.sheet;
  };

  document.querySelectorAll(".atlas").forEach(start);
})();
