"use strict";
// A trained network, from the bundle of plain arrays that `triptych.playable` writes, run in the reader's browser.
const TriptychModel = (() => {
  // More numbers than this between two layers are no picture that a page could show.
  const MOST = 2 ** 22;

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const volume = (shape) => shape.reduce((product, size) => product * size, 1);

  const whole = (value, least = 1) => {
    if (!Number.isInteger(value) || value < least || value > MOST) throw new Error("a size is no whole number in range");
    return value;
  };
  const agree = (condition) => { if (!condition) throw new Error("the layers do not fit each other"); };

  // Whole numbers of a few bits, the highest bit first, without gaps; each row has a scale of its own.
  const unpack = (text, bits, scale, inner) => {
    agree(whole(bits, 8) <= 16);
    whole(scale.length * inner);
    const packed = bytes(text);
    agree(packed.length === Math.ceil(bits * scale.length * inner / 8));
    const most = 2 ** (bits - 1) - 1, weight = new Float32Array(scale.length * inner);
    let held = 0, count = 0, next = 0, at = 0;
    for (let row = 0; row < scale.length; row += 1) {
      for (let column = 0; column < inner; column += 1) {
        for (; count < bits; count += 8) held = (held << 8) | packed[next++];
        count -= bits;
        weight[at++] = ((held >>> count) - most) * scale[row];
        held &= (1 << count) - 1;
      }
    }
    return weight;
  };

  // weight (rows × inner) times x (inner × columns). Four rows at a time: each number of x is read once for them.
  const multiply = (weight, x, rows, inner, columns, out) => {
    out.fill(0, 0, rows * columns);
    let row = 0;
    for (; row + 4 <= rows; row += 4) {
      const a = row * columns, b = a + columns, c = b + columns, d = c + columns;
      const w = row * inner;
      for (let i = 0; i < inner; i += 1) {
        const wa = weight[w + i], wb = weight[w + inner + i], wc = weight[w + 2 * inner + i], wd = weight[w + 3 * inner + i];
        const from = i * columns;
        for (let j = 0; j < columns; j += 1) {
          const value = x[from + j];
          out[a + j] += wa * value;
          out[b + j] += wb * value;
          out[c + j] += wc * value;
          out[d + j] += wd * value;
        }
      }
    }
    for (; row < rows; row += 1) {
      for (let i = 0; i < inner; i += 1) {
        const value = weight[row * inner + i], from = i * columns, to = row * columns;
        for (let j = 0; j < columns; j += 1) out[to + j] += value * x[from + j];
      }
    }
  };

  const linear = (layer, size) => {
    const bias = floats(layer.bias), scale = floats(layer.scale);
    agree(bias.length === scale.length);
    const weight = unpack(layer.weight, layer.bits, scale, size), out = new Float32Array(bias.length);
    return [bias.length, (x) => {
      for (let row = 0, at = 0; row < bias.length; row += 1) {
        let sum = bias[row];
        for (let i = 0; i < size; i += 1) sum += weight[at++] * x[i];
        out[row] = sum;
      }
      return out;
    }];
  };

  // The places of a small and a large picture that one place of the kernel joins:
  // of a convolution output and input, of a transposed one input and output.
  const join = (place, small, large, layer, visit) => {
    const dy = Math.floor(place / layer.kernel) - layer.padding, dx = place % layer.kernel - layer.padding;
    for (let y = 0; y < small[1]; y += 1) {
      const over = y * layer.stride + dy;
      if (over < 0 || over >= large[1]) continue;
      for (let x = 0; x < small[2]; x += 1) {
        const across = x * layer.stride + dx;
        if (across >= 0 && across < large[2]) visit(y * small[2] + x, over * large[2] + across);
      }
    }
  };

  const joins = (small, large, layer) => Array.from({ length: layer.kernel ** 2 }, (_, place) => {
    const pairs = [];
    join(place, small, large, layer, (a, b) => pairs.push(a, b));
    return Int32Array.from(pairs);
  });

  const shapes = (layer, size) => {
    [layer.kernel, layer.stride].forEach((value) => whole(value));
    whole(layer.padding, 0);
    for (const shape of [layer.input, layer.output]) { agree(shape.length === 3); shape.forEach((value) => whole(value)); }
    agree(volume(layer.input) === size);
    return [layer.input, layer.output];
  };

  const conv = (layer, size) => {
    const [input, output] = shapes(layer, size), places = layer.kernel ** 2;
    const bias = floats(layer.bias), columns = output[1] * output[2], inner = input[0] * places;
    agree(bias.length === output[0]);
    const scale = floats(layer.scale);
    agree(scale.length === output[0]);
    const weight = unpack(layer.weight, layer.bits, scale, inner);
    const patches = new Float32Array(whole(inner * columns)), out = new Float32Array(whole(volume(output)));
    const pairs = joins(output, input, layer), plane = input[1] * input[2];
    return [out.length, (x) => {
      for (let channel = 0; channel < input[0]; channel += 1) {
        pairs.forEach((pair, place) => {
          const to = (channel * places + place) * columns, from = channel * plane;
          for (let i = 0; i < pair.length; i += 2) patches[to + pair[i]] = x[from + pair[i + 1]];
        });
      }
      multiply(weight, patches, output[0], inner, columns, out);
      for (let channel = 0, at = 0; channel < output[0]; channel += 1) {
        for (let i = 0; i < columns; i += 1) out[at++] += bias[channel];
      }
      return out;
    }];
  };

  const deconv = (layer, size) => {
    const [input, output] = shapes(layer, size), places = layer.kernel ** 2;
    const bias = floats(layer.bias), columns = input[1] * input[2], rows = output[0] * places;
    agree(bias.length === output[0]);
    const scale = floats(layer.scale);
    agree(scale.length === rows);
    const weight = unpack(layer.weight, layer.bits, scale, input[0]);
    const parts = new Float32Array(whole(rows * columns)), out = new Float32Array(whole(volume(output)));
    const pairs = joins(input, output, layer), plane = output[1] * output[2];
    return [out.length, (x) => {
      multiply(weight, x, rows, input[0], columns, parts);
      for (let channel = 0; channel < output[0]; channel += 1) {
        const to = channel * plane;
        out.fill(bias[channel], to, to + plane);
        pairs.forEach((pair, place) => {
          const from = (channel * places + place) * columns;
          for (let i = 0; i < pair.length; i += 2) out[to + pair[i + 1]] += parts[from + pair[i]];
        });
      }
      return out;
    }];
  };

  const POINTWISE = {
    relu: () => (v) => (v > 0 ? v : 0),
    leaky: (slope) => (v) => (v > 0 ? v : slope * v),
    elu: (alpha) => (v) => (v > 0 ? v : alpha * Math.expm1(v)),
    tanh: () => Math.tanh,
    sigmoid: () => (v) => 1 / (1 + Math.exp(-v)),
    affine: (factor, shift) => (v) => factor * v + shift,
  };

  const pointwise = (layer, size) => {
    const apply = POINTWISE[layer.op](...layer.numbers.map(Number));
    // In place: what came before is needed by nobody else, unless it is the caller's.
    return [size, (x) => { for (let i = 0; i < size; i += 1) x[i] = apply(x[i]); return x; }];
  };

  const take = (layer, size) => { agree(layer.count <= size); return [whole(layer.count), (x) => x.subarray(0, layer.count)]; };

  // A factor and a shift for each channel, in place too.
  const scaled = (layer, size) => {
    const factor = floats(layer.factor), shift = floats(layer.shift), wide = whole(layer.size);
    agree(factor.length === shift.length && factor.length * wide === size);
    return [size, (x) => {
      for (let channel = 0, at = 0; channel < factor.length; channel += 1) {
        for (let i = 0; i < wide; i += 1, at += 1) x[at] = factor[channel] * x[at] + shift[channel];
      }
      return x;
    }];
  };

  // Every pixel repeated along both sides.
  const enlarge = (layer, size) => {
    const input = layer.input.map((value) => whole(value)), factor = whole(layer.factor);
    agree(input.length === 3 && volume(input) === size);
    const [channels, height, width] = input, across = width * factor;
    const out = new Float32Array(whole(size * factor ** 2));
    return [out.length, (x) => {
      for (let row = 0; row < channels * height; row += 1) {
        const to = row * factor * across;
        for (let i = 0; i < across; i += 1) out[to + i] = x[row * width + Math.floor(i / factor)];
        for (let again = 1; again < factor; again += 1) out.copyWithin(to + again * across, to, to + across);
      }
      return out;
    }];
  };

  // The sum of what two lists of layers make of the same numbers; each works on a copy.
  const add = (layer, size) => {
    const [made, one] = chain(layer.one, size), [also, other] = chain(layer.other, size);
    agree(made === also);
    return [made, (x) => {
      const out = one(x), more = other(x);
      for (let i = 0; i < made; i += 1) out[i] += more[i];
      return out;
    }];
  };

  // The first half of the numbers, each times the sigmoid of its fellow in the second.
  const gate = (layer, size) => {
    const half = whole(size / 2);
    return [half, (x) => { for (let i = 0; i < half; i += 1) x[i] /= 1 + Math.exp(-x[half + i]); return x.subarray(0, half); }];
  };

  const LAYERS = { linear, conv, deconv, take, gate, enlarge, add, scale: scaled };

  // A list of layers as one function: it reads `size` numbers and gives a copy that is the caller's own.
  const chain = (layers, size) => {
    const steps = [];
    for (const layer of layers) {
      const known = Object.hasOwn(LAYERS, layer.op) ? LAYERS[layer.op] : Object.hasOwn(POINTWISE, layer.op) ? pointwise : null;
      if (known === null) throw new Error("a layer of an unknown kind");
      let step;
      [size, step] = known(layer, size);
      steps.push(step);
    }
    return [size, (given) => Float32Array.from(steps.reduce((x, step) => step(x), Float32Array.from(given)))];
  };

  const rows = (text, width) => {
    const all = floats(text);
    agree(all.length % width === 0 && all.every(Number.isFinite));
    return Array.from({ length: all.length / width }, (_, i) => all.slice(i * width, (i + 1) * width));
  };

  // Throws for a bundle that is damaged or of another format; nothing in it is ever run or written into the page.
  const read = (bundle) => {
    if (bundle.format !== 1) throw new Error("written by another version of Triptych");
    const shape = bundle.shape.map((value) => whole(value)), latent = whole(bundle.latent), pixels = whole(volume(shape));
    const [made, decode] = chain(bundle.decode, latent);
    agree(made === pixels && shape.length === 3 && (shape[0] === 1 || shape[0] === 3));
    let encode = null;
    if (bundle.encode) {
      const [found, run] = chain(bundle.encode, pixels);
      agree(found === latent);
      encode = run;
    }
    const starts = rows(bundle.starts, latent), directions = rows(bundle.directions, latent);
    const draws = bundle.draws ? rows(bundle.draws, latent) : [];
    const movement = bundle.movement.map(Number), principal = bundle.principal.map(Number);
    agree(starts.length > 0 && movement.length === latent && principal.length === directions.length);
    return {
      shape, latent, decode, encode, starts, draws, directions, movement, principal,
      binary: bundle.binary === true,
      originals: bundle.pixels ? rowsOfBytes(bundle.pixels, pixels) : [],
    };
  };

  const rowsOfBytes = (text, width) => {
    const all = bytes(text);
    agree(all.length % width === 0);
    return Array.from({ length: all.length / width }, (_, i) => Float32Array.from(all.subarray(i * width, (i + 1) * width), (v) => v / 255));
  };

  return { read, floats };
})();
