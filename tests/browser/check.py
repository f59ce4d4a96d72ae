"""Opens pages that the program wrote in Chromium: nothing fails, nothing is fetched, every control works and has a name.

    python3 tests/browser/check.py --gleaner target/release/gleaner --out pictures

Needs chromium and chromedriver (on Debian: apt-get install chromium chromium-driver) and Python 3.9.
"""

import argparse
import csv
import json
import pathlib
import random
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing is left beside the sources
from driver import Browser

HOSTILE = '"><img src=x onerror=alert(1)>'
LABELS = [HOSTILE, "</script><script>alert(2)</script>", "plain & <b>bold</b>", "{{title}} \u2028 <!--"]
WIDTHS = [380, 1280]
TAB, LEFT, RIGHT, UP = "\ue004", "\ue012", "\ue014", "\ue013"


def write_table(path, rows, flipped):
    """Four clusters, named as no one should; a share of the labels is wrong, two rows are one, one is far away."""
    rng = random.Random(5)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["key", "x<script>alert(3)</script>", "y", "flat", "colour", "__proto__"])
        twin = None
        for i in range(rows):
            label = i % len(LABELS)
            x, y = rng.gauss(4 * (label % 2), 1), rng.gauss(4 * (label // 2), 1)
            if i == 20:
                twin = (x, y)
            if i == 24:
                x, y = twin
            if i == 40:
                x, y = 40.0, -40.0
            shown = (label + 1) % len(LABELS) if rng.random() < flipped else label
            colour = ["red", "<i>blue</i>", "javascript:alert(4)"][i % 3 if i not in (20, 24) else 0]
            table.writerow([f"{HOSTILE}{i}" if i % 50 == 0 else f"row-{i}", f"{x:.4f}", f"{y:.4f}", 1, colour, LABELS[shown]])


def make_pages(gleaner, folder):
    write_table(folder / "clean.csv", 900, 0.0)
    write_table(folder / "flipped.csv", 900, 0.15)

    def run(*words):
        subprocess.run([gleaner.resolve(), *words, "--quiet"], cwd=folder, check=True)

    read = ["--label", "__proto__", "--id", "key"]
    run("select", "clean.csv", *read, "--keep", "20%", "--weights", "--out", "kept.csv")
    run("audit", "flipped.csv", *read, "--out", "audit.csv")
    run("compare", "clean.csv", *read, "--ignore", "flat", "--keep", "5%,20%", "--seeds", "2", "--steps", "30", "--out", "compared")
    for report in ["kept.json", "audit.json", "compared"]:
        page = folder / report / "report.html" if report == "compared" else folder / report.replace("json", "html")
        first = page.read_bytes()
        run("report", report)
        assert page.read_bytes() == first, f"{page} made again is another one"
    return {"select": folder / "kept.html", "audit": folder / "audit.html", "compare": folder / "compared/report.html"}


def no_harm(browser, name):
    """Nothing complained, nothing was fetched, nothing of the data was run or became an element."""
    said = [entry["message"] for entry in browser.log("browser")]
    assert not said, f"{name}: {said}"
    for entry in browser.log("performance"):
        event = json.loads(entry["message"])["message"]
        # The window's own first page is not what is looked at.
        if event["method"] == "Network.requestWillBeSent" and not event["params"]["documentURL"].startswith("chrome:"):
            url = event["params"]["request"]["url"]
            assert url.startswith(("file:", "data:")), f"{name} asks for {url}"
            assert not url.startswith("file:") or url.endswith(".html"), f"{name} asks for {url}"
    odd = browser.run("""return [
        document.querySelectorAll('img:not([src^="data:image/"]), iframe, object, embed, link:not([href="data:,"])').length,
        document.scripts.length, document.querySelectorAll('[onerror], [onclick], [onload]').length]""")
    assert odd == [0, 2, 0], f"{name}: {odd}"


def fits(browser, name):
    wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], f"{name} is {wide[0]} px wide in {wide[1]}"


def is_in_order(browser, name):
    levels = browser.run("return [...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1, f"{name}: {levels}"
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:])), f"{name}: {levels}"
    ids = browser.run("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids)), f"{name}: {ids}"
    for landmark in ["header", "nav", "main", "footer"]:
        browser.one(landmark)


REACHED = "a[href], button, input, select, summary, [tabindex='0']"


def has_names(browser, name):
    shown = browser.run(f"return [...document.querySelectorAll(\"{REACHED}\")].map((e) => e.checkVisibility())")
    elements = browser.all(REACHED)
    for element, shown in zip(elements, shown):
        if shown:
            assert browser.name(element).strip(), f"{name}: {browser.run('return arguments[0].outerHTML', {'element-6066-11e4-a52e-4f735466cecf': element})[:200]} has no name"


def is_reached(browser, name):
    """By the Tab key alone: everything that can be used."""
    wanted = browser.run(f"""
        scrollTo(0, 0); document.activeElement.blur(); window.reached = new Set();
        document.addEventListener('focusin', (event) => window.reached.add(event.target));
        window.wanted = [...document.querySelectorAll("{REACHED}")].filter((e) => e.checkVisibility() && !e.disabled);
        return window.wanted.length""")
    browser.press(*[TAB] * (wanted + 2))
    missed = browser.run("return window.wanted.filter((e) => !window.reached.has(e)).map((e) => e.outerHTML.slice(0, 150))")
    assert not missed, f"{name}: Tab does not reach {missed}"


CONTRAST = """
const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const parsed = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = parsed(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
const poor = [];
for (const e of document.querySelectorAll('body *')) {
  if (!e.checkVisibility() || e.disabled || e.closest('svg, script, .unseen, .skip')) continue;
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  const style = getComputedStyle(e);
  const [a, b] = [light(parsed(style.color)), light(behind(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5)) poor.push([e.tagName, e.className, ratio.toFixed(2)].join(' '));
}
return [...new Set(poor)];
"""


def is_readable(browser, name):
    poor = browser.run(CONTRAST)
    assert not poor, f"{name}: too little contrast in {poor}"


CELLS = "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map((row) => row.cells[arguments[1]]?.textContent)"


def numbers(cells):
    return [float(cell.replace(" %", "")) for cell in cells if cell != "–"]


def sorts(browser, section, column):
    click = f"{section} thead th:nth-child({column + 1}) button"
    before = browser.run(CELLS, section, column)
    browser.click(click)
    up = numbers(browser.run(CELLS, section, column))
    assert up == sorted(up) and len(up) > 5, f"{section} upwards: {up}"
    assert browser.run("return document.querySelector(arguments[0]).parentElement.ariaSort", click) == "ascending"
    browser.click(click)
    down = numbers(browser.run(CELLS, section, column))
    assert down == sorted(down, reverse=True) and down[0] >= up[-1], f"{section} downwards: {down}"
    browser.click(click)
    assert browser.run(CELLS, section, column) == before, "the third click gives the first order back"


def filters(browser, section, column, word):
    status = f"return document.querySelector('{section} .controls .status').textContent"
    everything = browser.run(status)
    choose = """const select = document.querySelector(arguments[0]); select.selectedIndex = arguments[1];
        select.dispatchEvent(new Event('change')); return select.options[arguments[1]].text"""
    value = browser.run("return document.querySelector(arguments[0]).options[2].textContent", f"{section} select")
    browser.run(choose, f"{section} select", 2)
    cells = browser.run(CELLS, section, column)
    assert cells and set(cells) == {value}, f"{section}: {set(cells)} where {value!r} was asked for"
    assert browser.run(status) != everything
    browser.run(choose, f"{section} select", 0)
    browser.write(f"{section} input[type=search]", word)
    rows = browser.run("return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map((row) => row.innerText)", section)
    assert rows and all(word.lower() in row.lower() for row in rows), f"{section}: {rows[:3]} for {word!r}"
    browser.run("""const search = document.querySelector(arguments[0]); search.value = ''; search.dispatchEvent(new Event('input'))""",
                f"{section} input[type=search]")
    assert browser.run(status) == everything


def turns_pages(browser, section):
    first = browser.run(CELLS, section, 0)
    browser.click(f"{section} .pager button", 1)
    second = browser.run(CELLS, section, 0)
    assert not set(first) & set(second), f"{section}: the second page shows rows of the first"
    browser.click(f"{section} .pager button", 0)
    assert browser.run(CELLS, section, 0) == first


def shows_a_map(browser, name):
    picture, drawn = "return document.querySelector('canvas').toDataURL()", "return document.querySelector('.map > .status').textContent"
    browser.frame()
    whole, count = browser.run(picture), browser.run(drawn)
    boxes = len(browser.all(".map .legend-list input"))
    assert boxes >= 2, f"{name}: {boxes} kinds of rows"
    for place in range(boxes):
        browser.click(".map .legend-list input", place)
        assert browser.run(picture) != whole and browser.run(drawn) != count, f"{name}: kind {place} stays"
        browser.click(".map .legend-list input", place)
        assert browser.run(picture) == whole and browser.run(drawn) == count
    choose = """const select = document.querySelectorAll('.map select')[arguments[0]]; select.selectedIndex = arguments[1];
        select.dispatchEvent(new Event('change'));"""
    for select in range(2):
        browser.run(choose, select, 1)
        browser.frame()
        assert browser.run(picture) != whole, f"{name}: choice {select} changes nothing"
        browser.run(choose, select, 0)
        browser.frame()
        assert browser.run(picture) == whole
    panel = "return document.querySelector('.point').innerText"
    empty = browser.run(panel)
    browser.run("document.querySelector('canvas').focus()")
    browser.press(RIGHT)
    first = browser.run(panel)
    browser.press(UP)
    second = browser.run(panel)
    assert empty != first != second and "label" in second, f"{name}: {first!r}, then {second!r}"
    browser.click(".zoom button", 0)
    assert browser.run(picture) != whole
    browser.click(".zoom button", 2)
    browser.click(".map summary")
    assert len(browser.run(CELLS, ".map", 0)) == 25
    browser.click(".map summary")


def shows_curves(browser, name):
    lines = "return document.querySelectorAll('.plot svg path, .plot svg polygon, .plot svg circle').length"
    before = browser.run(lines)
    browser.click(".curves .legend-list input:checked")
    assert browser.run(lines) < before, f"{name}: the line stays"
    browser.click(".curves .legend-list input:not(:checked)")
    assert browser.run(lines) == before
    browser.run("document.querySelector('.plot svg').focus()")
    reading = "return document.querySelector('.reading').innerText"
    last = browser.run(reading)
    browser.press(LEFT)
    assert browser.run(reading) != last, f"{name}: the keys read nothing"
    values = browser.run("return [...document.querySelectorAll('.reading li')].map((item) => item.innerText)")
    assert len(values) >= 5 and all("%" in value for value in values), f"{name}: {values}"
    browser.click("details.numbers summary")
    assert browser.run("return document.querySelector('details.numbers table').checkVisibility()")
    browser.click("details.numbers summary")


def changes_theme(browser, name):
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = browser.run(ground)
    browser.click("#theme")
    assert browser.run(ground) != before, f"{name}: one theme"
    is_readable(browser, f"{name}, other theme")
    browser.click("#theme")
    assert browser.run(ground) == before
    browser.run("localStorage.clear(); delete document.documentElement.dataset.theme")


def section_of(browser, heading):
    return browser.run("""const heading = [...document.querySelectorAll('h2')].find((h) => h.textContent === arguments[0]);
        return '#' + heading.parentElement.id""", heading)


def check(browser, kind, page, width, theme, out):
    name = f"{kind}-{width}-{theme}"
    browser.size(width)
    browser.theme(theme)
    browser.log("performance")  # what was before is not the page's
    browser.open(page)
    browser.frame()
    browser.picture(out / f"{name}.png")
    fits(browser, name)
    is_in_order(browser, name)
    has_names(browser, name)
    is_readable(browser, name)
    text = browser.run("return document.body.textContent")
    if kind in ("select", "audit"):
        assert HOSTILE in text and LABELS[1] in text, f"{name}: a label is not shown as it is"
        shows_a_map(browser, name)
        section = section_of(browser, {"select": "Rows kept", "audit": "Label issues"}[kind])
        sorts(browser, section, {"select": 0, "audit": 4}[kind])
        label = {"select": 3, "audit": 1}[kind]
        filters(browser, section, label, "onerror")
        turns_pages(browser, section)
    if kind == "compare":
        shows_curves(browser, name)
    changes_theme(browser, name)
    is_reached(browser, name)
    fits(browser, f"{name}, after use")
    no_harm(browser, name)
    print(f"{name}: as it should be")


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--gleaner", type=pathlib.Path, required=True, help="the program")
    flags.add_argument("--out", type=pathlib.Path, required=True, help="the folder for pages and pictures")
    flags = flags.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    pages = make_pages(flags.gleaner, flags.out)
    with Browser() as browser:
        for kind, page in pages.items():
            for width in WIDTHS:
                for theme in ["light", "dark"]:
                    check(browser, kind, page, width, theme, flags.out)


main()
