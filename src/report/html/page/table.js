// Tables: sorted by the headings, searched, filtered by one column, a page of rows at a time.

const collator = new Intl.Collator("en", { numeric: true });

function shownCell(kind, cell) {
  if (kind === "text") return cell;
  if (cell === null) return "–";
  if (kind === "share") return percent(cell);
  const size = Math.abs(cell);
  if (size > 0 && (size < 1e-4 || size >= 1e9)) return cell.toExponential(3);
  return String(Number(cell.toPrecision(5)));
}

class Table {
  constructor(box, data) {
    this.box = box;
    this.data = data;
    this.columns = data.columns.map(({ name, kind, cells }) => ({ name, kind, cells: kind === "text" ? decoded(cells) : cells }));
    this.state = { column: -1, descending: false, words: "", value: null, page: 0 };
    this.order = Array.from({ length: data.rows }, (_, row) => row);
    if (!box.querySelector("table")) box.append(this.frame());
    this.body = box.querySelector("tbody");
    this.headings = [...box.querySelectorAll("thead th")];
    this.headings.forEach((heading, column) => this.sortable(heading, column));
    this.status = make("p", { class: "status", role: "status" });
    const scroll = box.querySelector(".scroll");
    if (data.rows > 10) scroll.before(this.controls());
    if (data.rows > data.at_once) scroll.after(this.pager());
    this.show();
  }

  frame() {
    const heading = ({ name, kind }) => make("th", { scope: "col", class: kind === "text" ? null : "number" }, name);
    const caption = make("caption", { class: "unseen" }, this.data.name);
    const head = make("thead", {}, make("tr", {}, ...this.columns.map(heading)));
    const table = make("table", {}, caption, head, make("tbody"));
    return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": this.data.name }, table);
  }

  sortable(heading, column) {
    const button = make("button", { type: "button", onclick: () => this.sort(column) }, heading.textContent);
    heading.replaceChildren(button);
  }

  /** First upwards, then downwards, then as it was. */
  sort(column) {
    const { state } = this;
    if (state.column !== column) Object.assign(state, { column, descending: false });
    else if (!state.descending) state.descending = true;
    else Object.assign(state, { column: -1, descending: false });
    this.headings.forEach((heading, k) => {
      if (k === state.column) heading.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    this.change();
  }

  controls() {
    const search = make("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    search.addEventListener("input", () => { this.state.words = search.value.toLowerCase(); this.change(); });
    const controls = make("div", { class: "controls" }, make("label", {}, "Search", search));
    if (this.data.filter !== null && this.data.filter !== undefined) controls.append(this.filter());
    controls.append(this.status);
    return controls;
  }

  filter() {
    const { name, cells } = this.columns[this.data.filter];
    const values = [...new Set(cells)].sort(collator.compare);
    const select = make("select", {}, make("option", {}, "all"));
    // Values by their place, so that one called "all" is no other.
    values.forEach((value) => select.append(make("option", {}, value)));
    select.addEventListener("change", () => {
      this.state.value = select.selectedIndex > 0 ? values[select.selectedIndex - 1] : null;
      this.change();
    });
    return make("label", {}, name, select);
  }

  pager() {
    const step = (by) => () => { this.state.page += by; this.show(); };
    this.before = make("button", { type: "button", onclick: step(-1) }, "Previous");
    this.after = make("button", { type: "button", onclick: step(1) }, "Next");
    this.place = make("span", { class: "status", role: "status" });
    return make("div", { class: "pager", role: "group", "aria-label": `Pages of ${this.data.name}` }, this.before, this.after, this.place);
  }

  /** Everything of a row that is read, in small letters. */
  text(row) {
    this.texts ??= [];
    return (this.texts[row] ??= this.columns.map(({ kind, cells }) => shownCell(kind, cells[row])).join("\n").toLowerCase());
  }

  change() {
    const { column, descending, words, value } = this.state;
    const chosen = this.data.filter === null || this.data.filter === undefined ? null : this.columns[this.data.filter].cells;
    const fits = (row) => (value === null || chosen[row] === value) && (words === "" || this.text(row).includes(words));
    this.order = Array.from({ length: this.data.rows }, (_, row) => row).filter(fits);
    if (column >= 0) {
      const { kind, cells } = this.columns[column];
      const sign = descending ? -1 : 1;
      const compare = kind === "text" ? collator.compare : (a, b) => a - b;
      // What is no number comes last, whichever way.
      this.order.sort((a, b) => {
        const [left, right] = [cells[a], cells[b]];
        if (left === null || right === null) return (left === null) - (right === null);
        return sign * compare(left, right);
      });
    }
    this.state.page = 0;
    this.show();
  }

  show() {
    const { order, state } = this;
    const size = this.data.at_once;
    const first = state.page * size;
    const rows = order.slice(first, first + size).map((row) => {
      const cell = ({ kind, cells }) => make("td", { class: kind === "text" ? null : "number" }, shownCell(kind, cells[row]));
      return make("tr", {}, ...this.columns.map(cell));
    });
    const nothing = make("tr", {}, make("td", { class: "nothing", colspan: this.columns.length }, "No row fits."));
    this.body.replaceChildren(...(rows.length ? rows : [nothing]));
    const all = counted(this.data.rows);
    this.status.textContent = order.length < this.data.rows ? `${counted(order.length)} of ${all} rows` : `${all} rows`;
    if (!this.before) return;
    const pages = Math.max(1, Math.ceil(order.length / size));
    this.before.disabled = state.page === 0;
    this.after.disabled = state.page >= pages - 1;
    this.place.textContent = `Page ${counted(state.page + 1)} of ${counted(pages)}`;
  }
}
