"use strict";
// Everything on the page is there without this script; it sorts, filters, plays, compares and makes the charts live.
{
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const data = JSON.parse(document.getElementById("data").textContent);
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ---- leaderboard: a click on a heading sorts; a second one turns the order round
for (const table of all("table.board")) {
  const headings = all("thead tr:last-child th", table), body = table.tBodies[0];
  headings.forEach((heading, column) => {
    if (!heading.dataset.sort) return;
    const button = element("button", { type: "button" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const numeric = heading.dataset.sort === "number";
      const key = row => numeric ? row.cells[column].dataset.value : row.cells[column].textContent.trim();
      const rows = all("tr:not(.floor)", body).map(row => [key(row), row]);
      rows.sort(([a], [b]) => a === undefined || b === undefined ? (a === undefined) - (b === undefined)  // unknown values last
        : sign * (numeric ? a - b : a.localeCompare(b, undefined, { numeric: true })));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// ---- filter: lines of the leaderboards, and the runs below
const filter = document.getElementById("filter");
filter?.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = node => words.every(word => node.dataset.words.toLowerCase().includes(word));
  for (const node of all("table.board tr[data-words], details.run")) node.hidden = !fits(node);
  const runs = all("details.run"), shown = runs.filter(run => !run.hidden).length;
  document.getElementById("filter-count").value = words.length ? `${shown} of ${runs.length} runs` : "";
});

// ---- players: a slider over epochs, which also plays
function player(controls, epochs, show) {
  const name = controls.getAttribute("aria-label");
  const slider = element("input", { type: "range", min: 0, max: epochs.length - 1, value: epochs.length - 1, step: 1 });
  const where = element("output"), play = element("button", { type: "button" });
  let timer = 0;
  slider.setAttribute("aria-label", name);
  const at = place => {
    slider.value = place;
    where.value = `epoch ${epochs[place]}`;
    slider.setAttribute("aria-valuetext", where.value);
    show(epochs[place]);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶ Play";
    play.setAttribute("aria-label", `Play: ${name}`);
  };
  const step = () => +slider.value < epochs.length - 1 ? at(+slider.value + 1) : stop();
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (+slider.value === epochs.length - 1) at(0);
    play.textContent = "❚❚ Pause";
    play.setAttribute("aria-label", `Pause: ${name}`);
    timer = setInterval(step, Math.max(calm ? 1000 : 80, Math.min(500, 8000 / epochs.length)));
  });
  slider.addEventListener("input", () => { stop(); at(+slider.value); });
  controls.replaceChildren(play, slider, where);
  stop();
  at(epochs.length - 1);
}
const framesOf = place => all(`.player[data-run="${place}"] li`);
for (const one of all(".player")) {
  const items = all("li", one), shown = epoch => items.forEach(item => { item.hidden = +item.dataset.epoch !== epoch; });
  one.querySelector(".frames").tabIndex = -1;
  player(one.querySelector(".controls"), items.map(item => +item.dataset.epoch), shown);
}

// ---- several runs on the same epoch; a run that has ended stays at its last picture
const together = document.getElementById("epochs");
if (together) {
  const choose = () => {
    const chosen = all("input:checked", together).map(box => {
      const frames = framesOf(box.value), name = all(`.player[data-run="${box.value}"]`)[0].dataset.name;
      const image = element("img", { decoding: "async" }), note = element("span", { className: "muted small" });
      const link = element("a", { href: `#run-${box.value}`, textContent: name });
      const figure = element("figure", {}, element("div", { className: "sheet grid" }, image), element("figcaption", {}, link, " ", note));
      const show = epoch => {
        const frame = frames.findLast(item => +item.dataset.epoch <= epoch) ?? frames[0], source = frame.querySelector("img");
        Object.assign(image, { src: source.src, alt: source.alt, className: source.className });
        note.textContent = +frame.dataset.epoch === epoch ? "" : `epoch ${frame.dataset.epoch}`;
      };
      return { figure, show, epochs: frames.map(item => +item.dataset.epoch) };
    });
    together.querySelector(".beside").replaceChildren(...chosen.map(one => one.figure));
    const epochs = [...new Set(chosen.flatMap(one => one.epochs))].sort((a, b) => a - b);
    const controls = together.querySelector(".controls");
    controls.replaceChildren();
    if (epochs.length) player(controls, epochs, epoch => chosen.forEach(one => one.show(epoch)));
  };
  together.querySelector("fieldset").addEventListener("change", choose);
  choose();
}

// ---- configuration: the difference to another run
for (const select of all("select.difference")) {
  // all runs in each of them would make the file large
  select.closest("details").addEventListener("toggle", () => {
    const others = Object.entries(data.names).filter(([place]) => place !== select.dataset.run);
    select.replaceChildren(...others.map(([value, textContent]) =>
      element("option", { value, textContent, selected: value === select.value })));
  }, { once: true });
  select.addEventListener("change", () => {
    const here = data.options[select.dataset.run], there = data.options[select.value];
    const table = document.getElementById(`difference-${select.dataset.run}`), body = table.tBodies[0];
    const keys = Object.keys({ ...here, ...there }).filter(key => here[key] !== there[key]);
    const cell = text => element("td", { textContent: text ?? "–" });
    body.replaceChildren(...keys.map(key => element("tr", {},
      element("th", { scope: "row" }, element("code", { textContent: key })), cell(here[key]), cell(there[key]))));
    if (!keys.length) body.append(element("tr", {}, element("td", { colSpan: 3, textContent: "none" })));
    table.querySelector(".other").textContent = select.selectedOptions[0].textContent;
  });
}

// ---- runs that open: by a link, all at once, and for the printer
const runs = all("details.run");
const open = () => { const run = runs.find(one => `#${one.id}` === location.hash); if (run) { run.open = true; run.scrollIntoView(); } };
addEventListener("hashchange", open);
for (const link of all('a[href^="#run-"]')) link.addEventListener("click", () => { if (link.hash === location.hash) open(); });
open();
document.getElementById("open-all")?.addEventListener("click", () => runs.forEach(run => { run.open = true; }));
document.getElementById("close-all")?.addEventListener("click", () => runs.forEach(run => { run.open = false; }));

// ---- charts: drawn again, live, when they come into view
const watcher = window.vegaEmbed && new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    const live = element("div", { className: "live" }), plot = target.querySelector(".plot");
    const options = { actions: false, renderer: "svg", ast: true, config: data.config, tooltip: { disableDefaultStyle: true } };
    plot.append(live);
    vegaEmbed(live, data.charts[target.id], options).then(() => plot.classList.add("is-live"), () => live.remove());
  }
}, { rootMargin: "200px" });
if (watcher) all(".chart").forEach(chart => watcher.observe(chart));
}
