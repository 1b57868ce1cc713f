"use strict";
// Sliders over the latents of a trained model, whose picture follows while they move.
(() => {
  const FIRST = 4;
  const STILL = { first: 0.5, reach: 3 };

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const said = (value) => value.toFixed(Math.abs(value) >= 10 ? 1 : 2).replace("-", "\u2212");

  const paint = (canvas, pixels, [channels, height, width]) => {
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const image = new ImageData(width, height), plane = height * width;
    for (let i = 0; i < plane; i += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        // The array clamps and rounds by itself.
        image.data[4 * i + channel] = 255 * pixels[(channels === 3 ? channel : 0) * plane + i];
      }
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };

  const mixed = (a, b, alpha) => Float32Array.from(a, (value, i) => (1 - alpha) * value + alpha * b[i]);

  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

  // Latents in a link: the bytes of float32 numbers in letters that need no escape.
  const toText = (z) => btoa(String.fromCharCode(...new Uint8Array(z.buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const fromText = (text) => {
    const plain = text.replaceAll("-", "+").replaceAll("_", "/");
    try {
      return TriptychModel.floats(plain + "=".repeat((4 - plain.length % 4) % 4));
    } catch {
      // Nobody's link: the start that it also names, or the first one, is shown.
      return new Float32Array();
    }
  };

  class Playground {
    constructor(section, model) {
      this.section = section;
      this.model = model;
      this.dials = [];
      this.ends = 1 % model.starts.length;
      this.find = (selector) => section.querySelector(selector);
      this.find(".bench").hidden = false;
      this.strip(".starts", (i) => { this.start(i); this.tell(""); });
      this.strip(".ends", (i) => { this.end(i); this.render(); });
      this.makeDials();
      this.connect();
      if (model.encode) this.paper = new Paper(this);
      this.home();
    }

    // One small picture a start, each a button.
    strip(where, chosen) {
      this.model.starts.forEach((z, i) => {
        const canvas = element("canvas");
        const label = this.model.originals.length ? `image ${i + 1}` : `sample ${i + 1}`;
        const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": label }, canvas);
        paint(canvas, this.model.decode(z), this.model.shape);
        button.addEventListener("click", () => chosen(i));
        this.find(where).append(button);
      });
    }

    press(where, number) {
      this.section.querySelectorAll(`${where} button`).forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
    }

    makeDials() {
      const { movement, principal, directions, latent } = this.model;
      const most = Math.max(...movement, ...principal);
      const order = [...movement.keys()].sort((a, b) => movement[b] - movement[a]);
      order.forEach((coordinate, rank) => {
        const dial = this.dial(`z${coordinate}`, `coordinate ${coordinate}`, movement[coordinate], most);
        dial.coordinate = coordinate;
        this.find(rank < FIRST ? ".first" : ".others").append(dial.row);
      });
      this.find(".rest").hidden = latent <= FIRST;
      this.find(".rest summary").textContent = `The other ${latent - FIRST} coordinates`;
      directions.forEach((direction, i) => {
        const dial = this.dial(`d${i + 1}`, `direction ${i + 1}`, principal[i], most);
        dial.direction = direction;
        this.find(".directions").append(dial.row);
      });
    }

    dial(name, words, moves, most) {
      const note = `a unit step changes pixels by ${(100 * moves).toPrecision(2)} % of their range (root mean square)`;
      const input = element("input", { type: "range", "aria-label": `${words}; ${note}` });
      const output = element("output");
      const bar = element("span", { class: "weight", title: note }, element("i", { style: `width:${(100 * moves / most).toFixed(1)}%` }));
      const dial = { name, input, output, row: element("label", { class: "dial" }, element("span", { class: "name" }, words), bar, input, output) };
      const set = (value) => { dial.value = value; this.show(dial); this.render(); };
      input.addEventListener("input", () => set(Number(input.value)));
      input.addEventListener("dblclick", () => set(dial.home));
      this.dials.push(dial);
      return dial;
    }

    show(dial) {
      const reach = Math.max(this.reach, Math.abs(dial.value));
      dial.input.min = -reach;
      dial.input.max = reach;
      dial.input.step = reach / 300;
      dial.input.value = dial.value;
      dial.output.textContent = said(dial.value);
      dial.row.classList.toggle("moved", dial.value !== dial.home);
    }

    connect() {
      this.find(".reach select").addEventListener("change", (event) => { this.reach = Number(event.target.value); this.dials.forEach((dial) => this.show(dial)); });
      this.find(".alpha").addEventListener("input", (event) => { this.alpha = Number(event.target.value); this.render(); });
      this.find(".random").addEventListener("click", () => this.random());
      this.find(".reset").addEventListener("click", () => { this.home(); this.tell("As it was at first."); });
      this.find(".link").addEventListener("click", () => this.copy());
      this.find(".save").addEventListener("click", () => this.save());
    }

    // Of a prior that the browser cannot draw from the bundle has draws.
    random() {
      const { draws, latent } = this.model;
      this.from(draws.length ? draws[Math.floor(Math.random() * draws.length)] : Float32Array.from({ length: latent }, normal));
      this.tell(draws.length ? `One of ${draws.length} latents that were drawn from the prior.` : "A new latent, drawn from N(0, I).");
    }

    home() {
      this.reach = STILL.reach;
      this.find(".reach select").value = String(STILL.reach);
      this.alpha = STILL.first;
      this.find(".alpha").value = String(STILL.first);
      this.end(1 % this.model.starts.length);
      if (this.paper) this.paper.wipe();
      this.start(0);
    }

    start(number) {
      this.from(this.model.starts[number], number);
      if (number < this.model.originals.length) this.given(this.model.originals[number]);
    }

    // Every slider at what this latent has.
    from(base, number = -1) {
      this.base = Float32Array.from(base);
      this.number = number;
      this.press(".starts", number);
      this.find(".given").hidden = true;
      for (const dial of this.dials) {
        dial.home = dial.direction ? 0 : this.base[dial.coordinate];
        dial.value = dial.home;
        this.show(dial);
      }
      this.render();
    }

    end(number) {
      this.ends = number;
      this.press(".ends", number);
    }

    given(pixels) {
      this.find(".given").hidden = false;
      paint(this.find(".original"), pixels, this.model.shape);
    }

    latent() {
      const z = Float32Array.from(this.base);
      for (const dial of this.dials) if (!dial.direction) z[dial.coordinate] = dial.value;
      for (const { direction, value } of this.dials) if (direction) direction.forEach((part, i) => { z[i] += value * part; });
      return z;
    }

    // However often sliders move, one picture a frame.
    render() {
      this.frame ??= requestAnimationFrame(() => { this.frame = undefined; this.draw(); });
    }

    draw() {
      const { decode, shape, starts } = this.model;
      const began = performance.now();
      const z = this.latent(), now = decode(z), taken = performance.now() - began;
      paint(this.find(".now"), now, shape);
      const other = starts[this.ends];
      paint(this.find(".latent"), decode(mixed(z, other, this.alpha)), shape);
      paint(this.find(".pixel"), mixed(now, decode(other), this.alpha), shape);
      this.find(".slider output").textContent = this.alpha.toFixed(2);
      this.find(".made").textContent = this.made();
      this.section.dataset.milliseconds = taken.toFixed(2);
      this.find(".pace").textContent = `It takes ${taken < 1 ? "less than a millisecond" : `${Math.round(taken)} ms`}.`;
    }

    // What the large picture is.
    made() {
      if (this.dials.some((dial) => dial.value !== dial.home)) return "with your settings";
      return this.find(".given").hidden ? "drawn by the model" : "reconstruction";
    }

    tell(words) { this.find(".told").textContent = words; }

    // All that was changed, in the fragment: nothing leaves this page but by whom the link is given to.
    state() {
      const moved = this.dials.filter((dial) => dial.value !== dial.home).map((dial) => `${dial.name}=${+dial.value.toFixed(4)}`);
      const base = this.number >= 0 ? `start=${this.number}` : `base=${toText(this.base)}`;
      return [`play=${this.section.dataset.anchor}`, base, ...moved, `reach=${this.reach}`, `end=${this.ends}`, `alpha=${this.alpha}`].join("&");
    }

    restore(state) {
      const number = (name, fallback, allowed) => {
        const value = state.has(name) ? Number(state.get(name)) : NaN;
        return allowed(value) ? value : fallback;
      };
      const place = (value) => Number.isInteger(value) && value >= 0 && value < this.model.starts.length;
      this.reach = number("reach", STILL.reach, (value) => [3, 10, 100].includes(value));
      this.find(".reach select").value = String(this.reach);
      this.alpha = number("alpha", STILL.first, (value) => value >= 0 && value <= 1);
      this.find(".alpha").value = String(this.alpha);
      this.end(number("end", 1 % this.model.starts.length, place));
      this.start(number("start", 0, place));
      if (state.has("base")) {
        const base = fromText(state.get("base"));
        if (base.length === this.model.latent && base.every(Number.isFinite)) this.from(base);
      }
      for (const dial of this.dials) {
        dial.value = number(dial.name, dial.home, (value) => Math.abs(value) <= 1000);
        this.show(dial);
      }
    }

    async copy() {
      const url = `${location.href.split("#")[0]}#${this.state()}`;
      history.replaceState(null, "", url);
      try {
        await navigator.clipboard.writeText(url);
        this.tell("Copied: the link opens this file with these settings.");
      } catch {
        this.tell("The address above has these settings now; copy it from there.");
      }
    }

    save() {
      const [, height, width] = this.model.shape, times = Math.max(1, Math.floor(512 / Math.max(height, width)));
      const large = element("canvas", { width: width * times, height: height * times }), context = large.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(this.find(".now"), 0, 0, large.width, large.height);
      large.toBlob((blob) => {
        const url = URL.createObjectURL(blob);
        element("a", { href: url, download: `${this.section.dataset.name}.png` }).click();
        setTimeout(() => URL.revokeObjectURL(url), 10_000);
      }, "image/png");
      this.tell(`Saved, each pixel ${times} × ${times}.`);
    }
  }

  // Where a person draws, or drops a picture, for the model to encode.
  class Paper {
    constructor(playground) {
      this.playground = playground;
      const [channels, height, width] = this.shape = playground.model.shape;
      const section = playground.find(".drawing");
      section.hidden = false;
      this.canvas = section.querySelector(".paper");
      this.times = Math.max(1, Math.round(280 / Math.max(height, width)));
      this.canvas.width = width * this.times;
      this.canvas.height = height * this.times;
      this.context = this.canvas.getContext("2d", { willReadFrequently: true });
      section.querySelector(".ink").hidden = channels === 1;
      this.ink = section.querySelector(".ink input");
      this.pen();
      section.querySelector(".wipe").addEventListener("click", () => this.wipe());
      section.querySelector(".invert").addEventListener("click", () => this.invert());
      section.querySelector(".file input").addEventListener("change", (event) => { if (event.target.files.length) this.open(event.target.files[0]); });
      this.canvas.addEventListener("dragover", (event) => event.preventDefault());
      this.canvas.addEventListener("drop", (event) => {
        event.preventDefault();
        if (event.dataTransfer.files.length) this.open(event.dataTransfer.files[0]);
      });
    }

    pen() {
      let last = null;
      const at = (event) => {
        const box = this.canvas.getBoundingClientRect();
        return [(event.clientX - box.left) * this.canvas.width / box.width, (event.clientY - box.top) * this.canvas.height / box.height];
      };
      this.canvas.addEventListener("pointerdown", (event) => {
        this.canvas.setPointerCapture(event.pointerId);
        // What was dropped is no ground to draw on: centring would move it.
        if (!this.drawn) { this.wipe(); this.drawn = true; }
        last = at(event);
        this.stroke(last, last);
      });
      this.canvas.addEventListener("pointermove", (event) => { if (last) { const next = at(event); this.stroke(last, next); last = next; } });
      const lift = () => { if (last) { last = null; this.encode(); } };
      this.canvas.addEventListener("pointerup", lift);
      this.canvas.addEventListener("pointercancel", lift);
    }

    stroke([x, y], [toX, toY]) {
      Object.assign(this.context, { lineCap: "round", lineJoin: "round", lineWidth: this.canvas.height / 13, strokeStyle: this.shape[0] === 1 ? "#fff" : this.ink.value });
      this.context.beginPath();
      this.context.moveTo(x, y);
      this.context.lineTo(toX + 0.01, toY);
      this.context.stroke();
    }

    wipe() {
      this.drawn = false;
      this.context.fillStyle = "#000";
      this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    }

    invert() {
      // Its ground is light from here on: to put the drawing in the middle would move the ground.
      this.drawn = false;
      const image = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
      for (let i = 0; i < image.data.length; i += 4) for (let c = 0; c < 3; c += 1) image.data[i + c] = 255 - image.data[i + c];
      this.context.putImageData(image, 0, 0);
      this.encode();
    }

    async open(file) {
      let picture;
      try {
        picture = await createImageBitmap(file);
      } catch {
        this.playground.tell(`'${file.name}' is no picture that this browser can read.`);
        return;
      }
      this.wipe();
      const { width, height } = this.canvas, times = Math.max(width / picture.width, height / picture.height);
      this.context.imageSmoothingQuality = "high";
      this.context.drawImage(picture, (width - times * picture.width) / 2, (height - times * picture.height) / 2, times * picture.width, times * picture.height);
      this.encode();
    }

    // A drawing in the middle, as large as MNIST's digits are: 20 of 28 pixels, its centre of mass in the centre.
    frame() {
      const { width, height } = this.canvas, { data } = this.context.getImageData(0, 0, width, height);
      let [mass, sumX, sumY, left, top, right, bottom] = [0, 0, 0, width, height, 0, 0];
      for (let i = 0; i < width * height; i += 1) {
        const value = data[4 * i] + data[4 * i + 1] + data[4 * i + 2], x = i % width, y = Math.floor(i / width);
        if (value < 60) continue;
        mass += value; sumX += value * x; sumY += value * y;
        left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
      }
      if (!this.drawn || mass === 0) return [width / 2, height / 2, 1];
      return [sumX / mass, sumY / mass, Math.min(20 / 28 * Math.min(width, height) / Math.max(right - left + 1, bottom - top + 1), 3)];
    }

    encode() {
      const [channels, height, width] = this.shape, [x, y, times] = this.frame();
      // Halved until it is small: one step down would skip pixels.
      let size = [this.canvas.width, this.canvas.height];
      let small = element("canvas", { width: size[0], height: size[1] }), context = small.getContext("2d");
      context.fillRect(0, 0, ...size);
      context.setTransform(times, 0, 0, times, size[0] / 2 - times * x, size[1] / 2 - times * y);
      context.drawImage(this.canvas, 0, 0);
      while (size[0] > width || size[1] > height) {
        size = [Math.max(width, Math.ceil(size[0] / 2)), Math.max(height, Math.ceil(size[1] / 2))];
        const next = element("canvas", { width: size[0], height: size[1] });
        context = next.getContext("2d");
        context.imageSmoothingQuality = "high";
        context.drawImage(small, 0, 0, ...size);
        small = next;
      }
      const { data } = context.getImageData(0, 0, width, height), plane = height * width, pixels = new Float32Array(channels * plane);
      for (let i = 0; i < plane; i += 1) {
        const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
        if (channels === 3) [red, green, blue].forEach((value, c) => { pixels[c * plane + i] = value / 255; });
        else pixels[i] = (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
      }
      // A model of black and white pixels never saw a grey one.
      const seen = this.playground.model.binary ? pixels.map((value) => (value > 0.5 ? 1 : 0)) : pixels;
      this.playground.from(this.playground.model.encode(seen));
      this.playground.given(seen);
      this.playground.tell("Encoded; move the sliders to edit it.");
    }
  }

  const playgrounds = new Map();
  for (const section of document.querySelectorAll(".playground")) {
    try {
      const model = TriptychModel.read(JSON.parse(section.querySelector(".bundle").textContent));
      playgrounds.set(section.dataset.anchor, new Playground(section, model));
    } catch (error) {
      const trouble = section.querySelector(".trouble");
      trouble.textContent = `This model cannot be played with: ${error.message}.`;
      trouble.hidden = false;
    }
  }

  const follow = () => {
    const state = new URLSearchParams(location.hash.slice(1)), playground = playgrounds.get(state.get("play"));
    if (!playground) return;
    playground.restore(state);
    playground.section.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();
})();
