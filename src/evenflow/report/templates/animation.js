"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const state = { chosen: 0, scale: data.scale, depth: data.depth, position: 2 * data.depth, playing: false };
  const LN10 = Math.log(10), SECONDS = 3;

  // The cubic that meets values and slopes at both ends; beyond the table a straight line.
  function read(table, field, logQ) {
    const values = table[field], slopes = table[`${field}_slope`], last = values.length - 1;
    const place = (logQ - table.start) / table.step;
    if (place <= 0) return values[0] + slopes[0] * table.step * place;
    if (place >= last) return values[last] + slopes[last] * table.step * (place - last);
    const left = Math.floor(place), t = place - left, s = 1 - t;
    return s * s * (1 + 2 * t) * values[left] + t * t * (1 + 2 * s) * values[left + 1]
      + table.step * s * t * (s * slopes[left] - t * slopes[left + 1]);
  }

  // log10 of the signal's size in every hidden layer, and of the gradient's over that of the last one.
  function flow(table, scale, depth) {
    const weight = 2 * Math.log(scale), logQ = [weight];
    for (let layer = 1; layer < depth; layer++) logQ.push(weight + read(table, "value", logQ[layer - 1]));
    const back = new Array(depth).fill(0);
    for (let layer = depth - 2; layer >= 0; layer--) back[layer] = back[layer + 1] + weight + read(table, "slope", logQ[layer]);
    return { signal: logQ.map((one) => one / 2 / LN10), gradient: back.map((one) => one / 2 / LN10) };
  }

  const raised = (whole) => String(whole).replace(/./g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
  function written(log) {
    if (log >= -2 && log < 4) return Number((10 ** log).toPrecision(3)).toString();
    let whole = Math.floor(log), mantissa = (10 ** (log - whole)).toFixed(1);
    if (mantissa === "10.0") [mantissa, whole] = ["1.0", whole + 1];
    return `${mantissa}\u00a0×\u00a010${raised(whole)}`;
  }

  const change = (log, where) => Math.abs(log) < 0.15
    ? `keeps its size of ${where} (${written(log)} times)`
    : `${log < 0 ? "shrinks" : "grows"} to ${written(log)} times its size in ${where}`;

  function sentence(found) {
    const last = state.depth - 1, ahead = found.signal[last] - found.signal[0], back = found.gradient[0];
    const each = back / last;
    const end = back < -3 ? " It vanishes." : back > 3 ? " It explodes." : "";
    return `Forward, the signal ${change(ahead, "layer 1")}. Back, the gradient ${change(back, `layer ${state.depth}`)}: `
      + `a factor of ${(10 ** each).toPrecision(3)} a layer.${end}`;
  }

  function make(name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function lane(picture, values, box, title, kind, reached, head) {
    const low = Math.min(-1, Math.floor(Math.min(...values) * 1.02)), high = Math.max(1, Math.ceil(Math.max(...values) * 1.02));
    const y = (log) => box.top + ((high - log) / (high - low)) * box.height;
    const step = Math.max(1, Math.ceil((high - low) / 5));
    picture.append(make("text", { x: 0, y: box.top - 10, class: "title" }, title));
    for (let mark = Math.ceil(low / step) * step; mark <= high; mark += step) {
      picture.append(make("line", { x1: box.left, x2: box.left + box.width, y1: y(mark), y2: y(mark), class: mark ? "grid" : "level" }));
      const name = mark === 0 ? "1" : mark === 1 ? "10" : `10${raised(mark)}`;
      picture.append(make("text", { x: box.left - 6, y: y(mark) + 4, "text-anchor": "end" }, name));
    }
    const each = box.width / values.length, wide = Math.max(1, Math.min(26, each * 0.7));
    values.forEach((log, layer) => {
      const x = box.left + (layer + 0.5) * each;
      const [upper, lower] = [Math.min(y(0), y(log)), Math.max(y(0), y(log))];
      const bar = { x: x - wide / 2, width: wide, y: upper - 0.75, height: lower - upper + 1.5, class: kind + (reached(layer) ? "" : " ahead") };
      picture.append(make("rect", bar));
      if (layer === head) picture.append(make("circle", { cx: x, cy: y(log), r: 6, class: `${kind} head` }));
    });
  }

  function draw() {
    const table = data.activations[state.chosen], depth = state.depth, found = flow(table, state.scale, depth);
    const picture = at("picture"), width = Math.max(300, picture.parentElement.clientWidth);
    const box = { left: 44, width: width - 48, height: width < 560 ? 120 : 150 };
    const between = 66, height = 30 + 2 * box.height + between + 34;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.replaceChildren();
    // positions 1 … depth go forward, depth + 1 … 2·depth back
    const going = state.position <= depth, ahead = Math.min(state.position, depth), back = state.position - depth;
    const moving = state.position > 0 && state.position < 2 * depth;
    lane(picture, found.signal, { ...box, top: 30 }, "Forward: size of the signal →", "forward", (layer) => layer < ahead,
      moving && going ? ahead - 1 : -1);
    const middle = 30 + box.height + 14, each = box.width / depth;
    for (let layer = 0; layer < depth; layer++) {
      const kind = depth - layer <= back ? "backward" : layer < ahead ? "forward" : "cell";
      picture.append(make("rect", { x: box.left + layer * each + each * 0.1, y: middle, width: each * 0.8, height: 10, rx: Math.min(3, each / 4), class: kind }));
    }
    lane(picture, found.gradient, { ...box, top: 30 + box.height + between }, "← Back: size of the gradient, 1 in the last layer", "backward",
      (layer) => depth - layer <= back, moving && !going ? depth - back : -1);
    const every = Math.max(1, Math.ceil(depth / (width < 560 ? 6 : 12)));
    for (let layer = 1; layer <= depth; layer++) {
      if (layer !== 1 && layer % every) continue;
      picture.append(make("text", { x: box.left + (layer - 0.5) * each, y: height - 18, "text-anchor": "middle" }, layer));
    }
    picture.append(make("text", { x: box.left + box.width / 2, y: height - 2, "text-anchor": "middle" }, "layer"));

    at("headline").textContent = `Signal and gradient through ${depth} layers of ${table.title}`;
    at("scale-value").textContent = Number(state.scale.toPrecision(3));
    at("depth-value").textContent = depth;
    at("position-value").textContent = state.position === 0 ? "input" : state.position === 2 * depth ? "all"
      : going ? `forward, ${ahead}` : `back, ${depth - back + 1}`;
    at("scale").value = Math.log10(state.scale);
    at("depth").value = depth;
    at("position").max = 2 * depth;
    at("position").value = state.position;
    at("play").textContent = state.playing ? "Pause" : "Play";
    if (!state.playing) at("says").textContent = sentence(found); // spoken once, not in every frame
    at("numbers").querySelector("tbody").replaceChildren(...found.signal.map((log, layer) => {
      const row = document.createElement("tr");
      for (const text of [layer + 1, written(log), log.toFixed(6), written(found.gradient[layer]), found.gradient[layer].toFixed(6)]) {
        row.insertCell().textContent = text;
      }
      return row;
    }));
    for (const button of at("known").children) button.setAttribute("aria-pressed", String(Math.abs(button.value / state.scale - 1) < 1e-3));
  }

  function offer() {
    at("known").replaceChildren(...data.activations[state.chosen].known.map((one) => {
      const button = document.createElement("button");
      button.type = "button";
      button.value = one.scale;
      button.textContent = one.name;
      button.addEventListener("click", () => set({ scale: one.scale }));
      return button;
    }));
  }

  function set(change) {
    Object.assign(state, change);
    if ("scale" in change || "depth" in change || "chosen" in change) Object.assign(state, { playing: false, position: 2 * state.depth });
    draw();
  }

  function play() {
    if (state.playing) return set({ playing: false });
    const from = state.position >= 2 * state.depth ? 0 : state.position, begun = performance.now();
    set({ playing: true, position: from });
    const tick = (now) => {
      if (!state.playing) return;
      const position = Math.min(2 * state.depth, Math.floor(from + ((now - begun) / 1000 / SECONDS) * state.depth));
      if (position !== state.position) set({ position, playing: position < 2 * state.depth });
      if (state.playing) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  at("depth").max = data.deepest;
  [at("scale").min, at("scale").max] = data.scales.map(Math.log10);
  at("play").addEventListener("click", play);
  at("scale").addEventListener("input", (event) => set({ scale: 10 ** Number(event.target.value) }));
  at("depth").addEventListener("input", (event) => set({ depth: Number(event.target.value) }));
  at("position").addEventListener("input", (event) => set({ position: Number(event.target.value), playing: false }));
  at("activation")?.addEventListener("change", (event) => {
    state.chosen = Number(event.target.value);
    offer();
    set({ chosen: state.chosen });
  });
  new ResizeObserver(() => draw()).observe(at("picture").parentElement);
  offer();
  draw();
  document.documentElement.dataset.drawn = "yes";
})();
