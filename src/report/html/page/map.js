// The map: rows in the plane on a canvas, read by pointer, by arrow keys, or as a table.

const LOOKS = {
  "nothing found": { colour: "--plain", shape: 0, size: 2.2, faint: true },
  "dropped": { colour: "--dropped", shape: 0, size: 2.2, faint: true },
  "kept": { colour: "--kept", shape: 0, size: 3.4 },
  "near duplicate": { colour: "--duplicate", shape: 1, size: 3.2 },
  "outlier": { colour: "--outlier", shape: 3, size: 3.6 },
  "suspect label": { colour: "--suspect", shape: 2, size: 3.8 },
};
/** Classes that have a colour of their own. */
const COLOURS = 7;

class PointMap {
  constructor(box, data) {
    Object.assign(this, { box, data, x: data.x, y: data.y, name: decoded(data.name), label: decoded(data.class) });
    this.values = data.values.map(decoded);
    this.points = this.x.length;
    this.on = new Set(data.marks.keys());
    this.classes = [...new Set(this.label)].filter((label) => label !== "").sort(collator.compare);
    this.only = null;
    this.byClass = false;
    this.current = -1;
    this.build();
    this.fit(true);
    this.show();
    onTheme(() => this.show());
    new ResizeObserver(() => this.resize()).observe(this.canvas);
  }

  build() {
    const label = "Map of the rows. Arrow keys go from row to row, plus and minus zoom; the rows are in the table below too.";
    this.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": label });
    this.panel = make("div", { class: "point", role: "status" }, make("p", { class: "what" }, "Point at a row, or use the arrow keys on the map, to read it."));
    this.status = make("p", { class: "status", role: "status" });
    const button = (text, name, press) => make("button", { type: "button", "aria-label": name, title: name, onclick: press }, text);
    const zoom = make("div", { class: "zoom" }, button("+", "Zoom in", () => this.zoom(1.6)), button("−", "Zoom out", () => this.zoom(1 / 1.6)),
      button("All", "Show all points", () => { this.fit(false); this.show(); }));
    this.box.append(this.legend(), this.controls(),
      make("div", { class: "frame" }, make("div", { class: "canvas" }, this.canvas, zoom), this.panel), this.status, this.table());
    this.listen();
  }

  legend() {
    const count = this.data.marks.map(() => 0);
    this.data.mark.forEach((mark) => { count[mark] += 1; });
    const entry = (name, mark) => {
      const check = make("input", { type: "checkbox" });
      check.checked = true;
      check.addEventListener("change", () => {
        if (check.checked) this.on.add(mark); else this.on.delete(mark);
        this.show();
      });
      return make("label", {}, check, sample(name), `${name} (${counted(count[mark])})`);
    };
    const entries = this.data.marks.map(entry).reverse();
    return make("fieldset", { class: "legend-list" }, make("legend", {}, "Rows shown"), ...entries);
  }

  controls() {
    const controls = make("div", { class: "controls" });
    if (this.classes.length < 2) return controls;
    const only = make("select", {}, make("option", {}, "all"), ...this.classes.map((label) => make("option", {}, label)));
    only.addEventListener("change", () => {
      this.only = only.selectedIndex > 0 ? this.classes[only.selectedIndex - 1] : null;
      this.show();
    });
    const by = make("select", {}, make("option", {}, "what became of it"), make("option", {}, "label"));
    this.key = make("p", { class: "status" });
    by.addEventListener("change", () => { this.byClass = by.selectedIndex === 1; this.show(); });
    controls.append(make("label", {}, "Label", only), make("label", {}, "Colour by", by), this.key);
    return controls;
  }

  /** All rows as a table, made when it is asked for. */
  table() {
    const details = make("details", {}, make("summary", {}, "These rows as a table"));
    details.addEventListener("toggle", () => {
      if (this.made) return;
      this.made = true;
      const column = (name, cells) => ({ name, kind: "text", cells });
      const columns = [column("row", this.name), column("what became of it", this.data.mark.map((mark) => this.data.marks[mark]))];
      if (this.classes.length) columns.push(column("label", this.label));
      columns.push(...this.data.columns.map((name, k) => column(name, this.values[k])));
      const box = make("div", { class: "table" });
      details.append(box);
      new Table(box, { name: "Rows of the map", rows: this.points, columns, filter: 1, at_once: 25 });
    }, { once: false });
    return details;
  }

  listen() {
    const { canvas } = this;
    const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0) held = { at: place(event), centre: this.centre };
      this.look(...place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = place(event);
      if (!held) { this.look(...at); return; }
      this.centre = [held.centre[0] - (at[0] - held.at[0]) / this.scale, held.centre[1] + (at[1] - held.at[1]) / this.scale];
      this.show();
    });
    addEventListener("pointerup", () => { held = null; });
    canvas.addEventListener("dblclick", () => this.zoom(1.6));
    canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (steps[event.key]) this.step(...steps[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(1.6);
      else if (event.key === "-") this.zoom(1 / 1.6);
      else if (event.key === "0") { this.fit(false); this.show(); }
      else return;
      event.preventDefault();
    });
  }

  shown(i) {
    return this.on.has(this.data.mark[i]) && (this.only === null || this.label[i] === this.only);
  }

  /** The frame around all points, or around all but the few that lie far out. */
  fit(most) {
    const ends = (values) => {
      const sorted = [...values].sort((a, b) => a - b);
      const cut = most && sorted.length > 200 ? Math.floor(sorted.length * 0.005) : 0;
      return [sorted[cut], sorted[sorted.length - 1 - cut]];
    };
    const [left, right] = ends(this.x);
    const [low, high] = ends(this.y);
    this.centre = [(left + right) / 2, (low + high) / 2];
    this.extent = [Math.max(right - left, 1), Math.max(high - low, 1)];
    this.closer = 1;
    this.measure();
  }

  measure() {
    this.width = this.canvas.clientWidth || 600;
    this.height = Math.round(Math.min(540, Math.max(280, this.width * 0.68)));
    const room = 0.9;
    this.scale = this.closer * Math.min((this.width * room) / this.extent[0], (this.height * room) / this.extent[1]);
  }

  zoom(factor) {
    this.closer = Math.min(60, Math.max(0.3, this.closer * factor));
    if (this.current >= 0 && factor > 1) this.centre = [this.x[this.current], this.y[this.current]];
    this.measure();
    this.show();
  }

  resize() {
    if (this.canvas.clientWidth === this.width) return;
    this.measure();
    this.show();
  }

  place(i) {
    return [this.width / 2 + (this.x[i] - this.centre[0]) * this.scale, this.height / 2 - (this.y[i] - this.centre[1]) * this.scale];
  }

  /** Redraws with the next frame, however often it is called before. */
  show() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const { canvas, width, height } = this;
    const dots = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
      Object.assign(canvas, { width: Math.round(width * dots), height: Math.round(height * dots) });
      canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, width, height);
    const looks = this.data.marks.map((name) => ({ ...LOOKS[name], paint: colour(LOOKS[name].colour) }));
    const paints = Array.from({ length: COLOURS }, (_, k) => colour(`--c${k}`));
    const rest = colour("--plain");
    const paintOf = (i, look) => {
      if (!this.byClass) return look.paint;
      const k = this.classes.indexOf(this.label[i]);
      return k >= 0 && k < COLOURS ? paints[k] : rest;
    };
    const growth = Math.min(1.8, Math.max(this.points > 2500 ? 0.85 : 1, Math.sqrt(this.closer)));
    let [drawn, outside] = [0, 0];
    // Marks come in the order in which they cover each other.
    looks.forEach((look, mark) => {
      for (let i = 0; i < this.points; i += 1) {
        if (this.data.mark[i] !== mark || !this.shown(i)) continue;
        const [x, y] = this.place(i);
        drawn += 1;
        if (x < 0 || y < 0 || x > width || y > height) { outside += 1; continue; }
        pen.fillStyle = paintOf(i, look);
        pen.globalAlpha = look.faint && !this.byClass ? 0.6 : 0.85;
        trace(pen, x, y, marker(look.shape, look.size * growth));
        pen.fill();
      }
    });
    pen.globalAlpha = 1;
    this.ring(pen);
    this.tell(drawn, outside);
  }

  ring(pen) {
    if (this.current < 0 || !this.shown(this.current)) return;
    const [x, y] = this.place(this.current);
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 2;
    trace(pen, x, y, { round: 8 });
    pen.stroke();
  }

  tell(drawn, outside) {
    const out = outside ? `, ${counted(outside)} of them outside this view` : "";
    const text = `${counted(drawn)} of ${counted(this.points)} points drawn${out}.`;
    if (this.status.textContent !== text) this.status.textContent = text;
    if (!this.key) return;
    const named = this.classes.slice(0, COLOURS).map((label, k) => {
      const swatch = draw("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, draw("circle", { cx: 5, cy: 5, r: 4.5, fill: `var(--c${k})` }));
      return make("span", {}, swatch, ` ${label}  `);
    });
    const more = this.classes.length > COLOURS ? [`grey: ${counted(this.classes.length - COLOURS)} more`] : [];
    this.key.replaceChildren(...(this.byClass ? [...named, ...more] : []));
  }

  /** The nearest row that is shown, if it is near. */
  look(x, y) {
    let [best, nearest] = [24 * 24, -1];
    for (let i = 0; i < this.points; i += 1) {
      if (!this.shown(i)) continue;
      const [px, py] = this.place(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < best) [best, nearest] = [distance, i];
    }
    if (nearest >= 0) this.choose(nearest);
  }

  /** The nearest row in a direction, within an angle of 45 degrees where there is one. */
  step(dx, dy) {
    let [best, nearest] = [Infinity, -1];
    const from = this.current >= 0 && this.shown(this.current) ? [this.x[this.current], this.y[this.current]] : this.centre;
    for (let i = 0; i < this.points; i += 1) {
      if (i === this.current || !this.shown(i)) continue;
      const [right, up] = [this.x[i] - from[0], this.y[i] - from[1]];
      const [along, across] = [right * dx + up * dy, Math.abs(right * dy) + Math.abs(up * dx)];
      if (along < 0 || (along === 0 && (across > 0 || i < this.current))) continue;
      const cost = along + 2.5 * across + (across > along ? 1e6 : 0);
      if (cost < best) [best, nearest] = [cost, i];
    }
    if (nearest < 0) return;
    this.choose(nearest);
    const [x, y] = this.place(nearest);
    if (x < 0 || y < 0 || x > this.width || y > this.height) this.centre = [this.x[nearest], this.y[nearest]];
  }

  choose(i) {
    if (i === this.current) return;
    this.current = i;
    const what = [this.data.marks[this.data.mark[i]]];
    if (this.label[i] !== "") what.push(`label ${this.label[i]}`);
    const value = (name, k) => make("div", {}, make("dt", {}, name), make("dd", {}, this.values[k][i]));
    this.panel.replaceChildren(make("p", { class: "name" }, this.name[i]), make("p", { class: "what" }, what.join(", ")),
      make("dl", {}, ...this.data.columns.map(value)));
    this.show();
  }
}

function trace(pen, x, y, shape) {
  pen.beginPath();
  if (shape.round) pen.arc(x, y, shape.round, 0, 2 * Math.PI);
  else shape.corners.forEach(([dx, dy], k) => (k ? pen.lineTo(x + dx, y + dy) : pen.moveTo(x + dx, y + dy)));
  pen.closePath();
}

function sample(name) {
  const { colour: property, shape, size } = LOOKS[name];
  const { round, corners } = marker(shape, Math.max(4, size * 1.3));
  const style = { fill: `var(${property})` };
  const figure = round ? draw("circle", { cx: 8, cy: 8, r: round, ...style })
    : draw("polygon", { points: corners.map(([x, y]) => `${8 + x},${8 + y}`).join(" "), ...style });
  return draw("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, figure);
}
