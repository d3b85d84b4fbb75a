"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const say = (text) => { document.getElementById("status").textContent = text; };

// Colours: as the system, light, dark.
const theme = document.getElementById("theme");
const colours = document.documentElement.style;
const themes = ["", "light", "dark"];
function setTheme(name) {
  colours.colorScheme = name;
  theme.setAttribute("aria-label", "Colours: " + (name || "as the system"));
  try { localStorage.setItem("theme", name); } catch { /* a page opened from a file may have no storage */ }
}
try { setTheme(localStorage.getItem("theme") || ""); } catch { /* as above */ }
theme.addEventListener("click", () => setTheme(themes[(themes.indexOf(colours.colorScheme) + 1) % themes.length]));

// Tables: sorting, colour scale, absolute numbers or differences.
function shown(cell) {
  const text = cell.dataset.now ?? cell.dataset.v;
  return text === undefined || text === "" ? null : Number(text);
}

function sortBy(table, column, header) {
  const up = header.getAttribute("aria-sort") === "descending";
  all("thead th[aria-sort]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const isNumber = rows.some((row) => row.cells[column].dataset.v !== undefined);
  const value = (row) => (isNumber ? shown(row.cells[column]) : row.cells[column].textContent.trim());
  rows.sort((a, b) => {
    const last = a.classList.contains("total") - b.classList.contains("total");
    if (last) return last;
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    // The first click on numbers shows the highest first, on words the first of the alphabet.
    const order = isNumber ? x - y : y.localeCompare(x, "en", { numeric: true });
    return up ? order : -order;
  });
  body.append(...rows);
  table.classList.remove("by-rules");
  say(`Sorted by ${header.textContent.trim()}, ${header.getAttribute("aria-sort")}`);
}

function quantile(sorted, share) { return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]; }

function colour(table, difference) {
  const better = table.dataset.better === "low" ? -1 : 1;
  const cells = all("td[data-v]", table);
  const signed = cells.filter((cell) => difference || cell.classList.contains("signed"));
  const plain = cells.filter((cell) => !signed.includes(cell));
  // Where methods are columns the whole table holds one metric; else every column has a scale of its own.
  const whole = table.closest("[data-by=column]") !== null;
  const groups = Map.groupBy ? Map.groupBy(plain, (cell) => (whole ? 0 : cell.cellIndex)) : new Map([[0, plain]]);
  for (const cells of groups.values()) {
    const values = cells.map(shown).filter((value) => value !== null).map((value) => better * value).sort((a, b) => a - b);
    // A few very bad numbers must not wash out the rest: the scale begins at the worst tenth.
    const [low, high] = [quantile(values, 0.1), values[values.length - 1]];
    for (const cell of cells) {
      const known = values.length > 2 && high > low && shown(cell) !== null;
      const place = known ? Math.max(0, (better * shown(cell) - low) / (high - low)) : 0;
      cell.style.cssText = `--tone:var(--good);--t:${(0.3 * place * place).toFixed(3)}`;
    }
  }
  const sizes = signed.map(shown).filter((value) => value !== null).map(Math.abs).sort((a, b) => a - b);
  const reach = quantile(sizes, 0.9) || 1;
  for (const cell of signed) {
    const value = shown(cell);
    const size = value === null ? 0 : Math.min(1, Math.abs(value) / reach);
    cell.style.cssText = `--tone:var(--${better * value < 0 ? "bad" : "good"});--t:${(0.34 * size).toFixed(3)}`;
  }
}

function show(block, difference) {
  const table = block.querySelector("table");
  const select = block.querySelector("select");
  block.querySelector(".reference").hidden = !difference;
  const reference = (cell) => (block.dataset.by === "column"
    ? cell.parentElement.cells[select.value]
    : table.originalRows[select.value].cells[cell.cellIndex]);
  for (const cell of all("td[data-v]:not(.signed)", table)) {
    const text = cell.querySelector(".v");
    text.dataset.absolute ??= text.textContent;
    const other = reference(cell).dataset.v;
    if (!difference) {
      delete cell.dataset.now;
      text.textContent = text.dataset.absolute;
    } else if (other === undefined) {
      cell.dataset.now = "";
      text.textContent = "";
    } else {
      cell.dataset.now = cell.dataset.v - other;
      const rounded = Number(Number(cell.dataset.now).toFixed(cell.dataset.digits));
      text.textContent = (rounded > 0 ? "+" : rounded < 0 ? "−" : "") + Math.abs(rounded).toFixed(cell.dataset.digits);
    }
  }
  colour(table, difference);
  say(difference ? `Differences to ${select.selectedOptions[0].textContent}` : "Absolute numbers");
}

for (const block of all(".block")) {
  const table = block.querySelector("table");
  table.originalRows = [...table.tBodies[0].rows];
  table.classList.add("by-rules");
  table.style.setProperty("--first", `${table.tBodies[0].rows[0]?.cells[0].offsetWidth ?? 0}px`);
  all("thead th[aria-sort]", table).forEach((header, column) => {
    const numeric = table.originalRows.some((row) => row.cells[column]?.classList.contains("n"));
    header.classList.toggle("n", numeric);
    header.querySelector("button").addEventListener("click", () => sortBy(table, column, header));
  });
  colour(table, false);
  const update = () => show(block, block.querySelector("input[value=difference]").checked);
  all(".switch input, select", block).forEach((control) => control.addEventListener("change", update));
}

// A slider between an image and its overlay.
for (const slider of all(".compare input")) {
  const cut = () => slider.parentElement.style.setProperty("--cut", `${slider.value}%`);
  slider.addEventListener("input", cut);
}

// Copying commands; without clipboard rights the command is selected instead.
for (const button of all(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      say("Copied");
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// A link to a category opens it; the section in view is marked; everything is open on paper.
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", openTarget);
openTarget();
for (const details of all("details.category")) {
  details.addEventListener("toggle", () => { if (details.open) history.replaceState(null, "", `#${details.id}`); });
}
const links = new Map(all("nav ul a").map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -75% 0px" });
all("section[id]").forEach((section) => seen.observe(section));
let opened = [];
addEventListener("beforeprint", () => {
  opened = all("details:not([open]):not(.settings)");
  opened.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
