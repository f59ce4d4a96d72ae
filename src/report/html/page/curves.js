// Curves: lines with intervals over a logarithmic axis of shares, switched on and off by the legend.

const MARGIN = { left: 52, right: 18, top: 10, bottom: 40 };

class Curves {
  constructor(box, data) {
    this.data = data;
    this.names = [...new Set(data.panels.flatMap((panel) => panel.series.map((series) => series.name)))];
    const on = (name) => data.panels.some((panel) => panel.series.some((series) => series.name === name && series.on));
    this.on = new Set(this.names.filter(on));
    box.append(this.legend());
    const panels = make("div", { class: "panels" });
    box.append(panels);
    this.panels = data.panels.map((panel) => new Panel(this, panel, panels));
    onTheme(() => this.show());
    new ResizeObserver(() => this.show()).observe(panels);
  }

  legend() {
    const entry = (name, k) => {
      const check = make("input", { type: "checkbox" });
      check.checked = this.on.has(name);
      check.addEventListener("change", () => {
        if (check.checked) this.on.add(name); else this.on.delete(name);
        this.show();
      });
      const sample = draw("svg", { viewBox: "0 0 30 16", "aria-hidden": "true" });
      sample.append(draw("path", { d: "M1 8H29", ...look(k) }), mark(k, 15, 8));
      return make("label", {}, check, sample, name);
    };
    return make("fieldset", { class: "legend-list" }, make("legend", {}, "Lines shown"), ...this.names.map(entry));
  }

  show() {
    this.panels.forEach((panel) => panel.show());
  }
}

const stroke = (k) => `var(--c${k % 7})`;

function look(k) {
  const dashes = [null, "7 4", "2 3"][Math.floor(k / 7) % 3];
  return { fill: "none", stroke: stroke(k), "stroke-width": 2, "stroke-dasharray": dashes };
}

/** Full in the first round of colours, hollow after it. */
function mark(k, x, y) {
  const round = Math.floor(k / 7);
  const style = { stroke: stroke(k), "stroke-width": 1.5, fill: round ? "var(--card)" : stroke(k) };
  const shape = marker(k + round, 3.4);
  if (shape.round) return draw("circle", { cx: x, cy: y, r: shape.round, ...style });
  return draw("polygon", { points: shape.corners.map(([dx, dy]) => `${x + dx},${y + dy}`).join(" "), ...style });
}

/** Round steps of an axis, about so many. */
function ticks(low, high, about) {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const places = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) places.push(k * step);
  return { places, digits: Math.max(0, -Math.floor(Math.log10(step * 100) + 1e-9)) };
}

const short = (share) => `${Number((100 * share).toPrecision(3))} %`;

class Panel {
  constructor(curves, panel, parent) {
    this.curves = curves;
    this.panel = panel;
    const points = panel.series.flatMap((series) => series.points);
    this.xs = [...new Set(points.map((point) => point[0]))].filter((x) => x > 0).sort((a, b) => a - b);
    // There is always one share that is read, so that nothing below moves when another is.
    this.cursor = this.xs.length - 1;
    const title = panel.title || curves.data.name;
    const label = `${title}: ${curves.data.y} by ${curves.data.x}. Left and right arrow keys read the values; they are in the table below too.`;
    this.svg = draw("svg", { role: "img", tabindex: 0, "aria-label": label });
    this.reading = make("div", { class: "reading", role: "status" });
    const heading = panel.title ? [make("p", { class: "heading" }, panel.title)] : [];
    this.box = make("div", { class: "plot" }, ...heading, this.svg, this.reading);
    parent.append(this.box);
    this.svg.addEventListener("pointermove", (event) => this.point(event.clientX - this.svg.getBoundingClientRect().left));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.read(Math.min(this.xs.length - 1, Math.max(0, this.cursor + step)));
    });
  }

  series() {
    const { names, on } = this.curves;
    return this.panel.series.filter((series) => on.has(series.name)).map((series) => ({ ...series, k: names.indexOf(series.name) }));
  }

  point(at) {
    const distances = this.xs.map((x) => Math.abs(this.column(x) - at));
    this.read(distances.indexOf(Math.min(...distances)));
  }

  read(cursor) {
    if (cursor === this.cursor) return;
    this.cursor = cursor;
    this.show();
  }

  column(x) {
    const [low, high] = [Math.log(this.xs[0]), Math.log(this.xs[this.xs.length - 1])];
    const share = high > low ? (Math.log(x) - low) / (high - low) : 0.5;
    const inset = 14;
    return MARGIN.left + inset + share * (this.width - MARGIN.left - MARGIN.right - 2 * inset);
  }

  row(y) {
    const [low, high] = this.range;
    y = Math.min(high, Math.max(low, y));
    return this.height - MARGIN.bottom - ((y - low) / (high - low)) * (this.height - MARGIN.top - MARGIN.bottom);
  }

  show() {
    this.width = Math.max(220, this.svg.clientWidth || 480);
    this.height = Math.round(Math.min(340, Math.max(240, this.width * 0.62)));
    const series = this.series();
    const ends = series.flatMap(({ points }) => points.flatMap(([, mean, spread]) => [mean - spread, mean + spread]));
    const [least, most] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
    const pad = 0.06 * (most - least) || 0.01;
    // A share is in [0, 1]; an interval of few seeds may reach beyond.
    this.range = [Math.max(0, least - pad), Math.min(1, most + pad)];
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.replaceChildren(...this.axes(), ...this.lines(series), ...this.mark());
    this.tell(series);
  }

  axes() {
    const { width, height } = this;
    const { places, digits } = ticks(...this.range, 5);
    const rows = places.flatMap((y) => [
      draw("path", { class: "grid", d: `M${MARGIN.left} ${this.row(y)}H${width - MARGIN.right}` }),
      draw("text", { x: MARGIN.left - 7, y: this.row(y) + 4, "text-anchor": "end" }, percent(y, digits)),
    ]);
    let free = -Infinity;
    const columns = this.xs.flatMap((x) => {
      const at = this.column(x);
      const tick = draw("path", { class: "grid", d: `M${at} ${height - MARGIN.bottom}v5` });
      if (at < free) return [tick];
      free = at + 46;
      return [tick, draw("text", { x: at, y: height - MARGIN.bottom + 19, "text-anchor": "middle" }, short(x))];
    });
    const middle = (MARGIN.left + width - MARGIN.right) / 2;
    return [...rows, ...columns, draw("text", { x: middle, y: height - 5, "text-anchor": "middle" }, this.curves.data.x)];
  }

  lines(series) {
    const gap = series.length > 1 ? Math.min(4, 16 / (series.length - 1)) : 0;
    return series.flatMap(({ points, k }, place) => {
      // Moved sideways a little, so that intervals at one share stay apart.
      const aside = (place - (series.length - 1) / 2) * gap;
      const places = points.filter(([x]) => x > 0).map(([x, mean, spread]) => [this.column(x) + aside, mean, spread]);
      const path = places.map(([x, mean], n) => `${n ? "L" : "M"}${x} ${this.row(mean)}`).join("");
      const bars = places.filter(([, , spread]) => spread > 0).map(([x, mean, spread]) => draw("path", {
        d: `M${x - 3} ${this.row(mean + spread)}h6m-3 0V${this.row(mean - spread)}m-3 0h6`,
        stroke: stroke(k), "stroke-width": 1.2, fill: "none", opacity: 0.75,
      }));
      return [...bars, draw("path", { d: path, ...look(k) }), ...places.map(([x, mean]) => mark(k, x, this.row(mean)))];
    });
  }

  mark() {
    if (this.cursor < 0) return [];
    const at = this.column(this.xs[this.cursor]);
    return [draw("path", { class: "cursor", d: `M${at} ${MARGIN.top}V${this.height - MARGIN.bottom}` })];
  }

  tell(series) {
    if (!series.length || this.cursor < 0) {
      this.reading.replaceChildren("No line is switched on.");
      return;
    }
    const x = this.xs[this.cursor];
    const found = series.flatMap(({ name, points }) => points.filter((point) => point[0] === x).map(([, mean, spread]) => ({ name, mean, spread })));
    found.sort((a, b) => b.mean - a.mean);
    const item = ({ name, mean, spread }) => make("li", {}, make("span", {}, name),
      make("span", {}, spread > 0 ? `${(100 * mean).toFixed(1)} ± ${percent(spread)}` : percent(mean)));
    this.reading.replaceChildren(make("p", {}, `At ${short(x)}; point at another share, or use the arrow keys, for its values.`), make("ul", {}, ...found.map(item)));
  }
}
