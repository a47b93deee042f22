"use strict";
// Each section with data-view is a panel: its form is what it asks the server for, and the address holds the forms of all panels.
const TOKEN = new URLSearchParams(location.search).get("token") ?? "";
const PATIENCE = 250; // ms without a change before the closest training images are asked for
const FRAME = 90; // ms of a state while playing
const hasImages = document.querySelector("[data-closest]") !== null;

async function ask(kind, view, parameters) {
  const answer = await fetch(`/${kind}/${view}?${parameters}`, { headers: { "X-Genrun-Token": TOKEN } }).catch(() => {
    throw new Error("no answer: genrun explore has ended; start it again, and add the part after # to its new address");
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function figure(shown) {
  const made = document.createElement("figure"), image = new Image(), caption = document.createElement("figcaption");
  [image.src, image.alt, image.title, caption.textContent] = [shown.png, shown.alt, shown.alt, shown.caption];
  made.append(image, caption);
  return made;
}

class Panel {
  constructor(section) {
    this.view = section.dataset.view;
    this.section = section;
    this.form = section.querySelector("form");
    this.status = section.querySelector(".status");
    this.pictures = section.querySelector(".pictures");
    this.frames = this.form.querySelector("[data-frames]");
    this.answer = { pictures: [] };
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => this.changed(event.target));
    this.form.addEventListener("click", (event) => this.pressed(event.target.closest("[data-do]")));
  }

  // what is set, as the server and the address have it: without what is empty, hidden, or a slider at its middle
  parameters() {
    const asked = [...new FormData(this.form)].filter(([name, value]) => {
      const input = this.form.elements[name];
      return value !== "" && !input.closest("[hidden]") && !(input.type === "range" && name[0] === "d" && Number(value) === 0);
    });
    return new URLSearchParams(asked);
  }

  changed(input) {
    this.label();
    keep();
    if (input === this.frames) this.show();
    else this.refresh();
  }

  pressed(button) {
    const set = (name, value) => (this.form.elements[name].value = value);
    const random = (below) => Math.floor(Math.random() * below);
    const what = button?.dataset.do;
    if (what === "play") return this.play();
    if (what === "seed" || what === "random") set("seed", random(1e6));
    if (what === "random" || what === "reset") {
      set("start", what === "random" ? "random" : "mean");
      for (const slider of this.form.querySelectorAll("[type=range]")) slider.value = 0;
    }
    if (what === "numbers") {
      const counts = JSON.parse(this.section.dataset.counts); // images of each class, then of all
      for (const end of ["a", "b"]) set(`number_${end}`, random(counts[this.form.elements[`class_${end}`]?.value || counts.length - 1]));
    }
    if (what) this.changed(button);
  }

  label() {
    for (const part of this.form.querySelectorAll("[data-when]")) {
      const [name, value] = part.dataset.when.split("=");
      part.hidden = this.form.elements[name].value !== value;
    }
    for (const slider of this.form.querySelectorAll("[type=range]")) {
      if (slider !== this.frames) slider.nextElementSibling.value = slider.value;
    }
  }

  // at most one request at a time; the last change made meanwhile is asked for next
  async refresh() {
    clearTimeout(this.timer);
    this.again = this.busy;
    if (this.busy) return;
    this.busy = true;
    const slow = setTimeout(() => {
      this.section.setAttribute("aria-busy", "true");
      this.say("computing …");
    }, 400);
    const parameters = this.parameters();
    parameters.delete("step");
    try {
      this.answer = await ask("view", this.view, parameters);
      this.closest = null;
      this.say("");
      this.show();
      if (hasImages) this.timer = setTimeout(() => this.compare(parameters), PATIENCE);
    } catch (error) {
      this.say(error.message, true);
    }
    clearTimeout(slow);
    this.section.removeAttribute("aria-busy");
    this.busy = false;
    if (this.again) this.refresh();
  }

  async compare(parameters) {
    const answer = this.answer;
    try {
      const { closest } = await ask("closest", this.view, parameters);
      if (answer !== this.answer) return; // another picture is shown by now
      this.closest = closest;
      this.show();
    } catch (error) {
      this.say(error.message, true);
    }
  }

  say(text, bad = false) {
    this.status.textContent = text;
    this.status.classList.toggle("bad", bad);
  }

  show() {
    const { pictures, shares } = this.answer, last = pictures.length - 1;
    let shown = pictures.map((_, k) => k);
    if (this.frames) {
      this.frames.max = Math.max(last, 0);
      shown = last < 0 ? [] : [Number(this.frames.value)];
      this.frames.nextElementSibling.value = last < 0 ? "" : pictures[shown[0]].caption;
    }
    this.pictures.replaceChildren(...shown.map((k) => {
      const made = figure(pictures[k]), below = document.createElement("div");
      below.className = "closest";
      if (hasImages) made.append(below);
      if (this.closest) below.append(...this.closest[k].map(figure));
      return made;
    }));
    if (shares) this.form.querySelectorAll(".sliders > div").forEach((row, k) => {
      row.hidden = k >= shares.length; // codes of fewer values have fewer directions
      row.querySelector("span").textContent = `${(100 * shares[k]).toFixed(0)} %`;
    });
  }

  play() {
    const button = this.form.querySelector("[data-do=play]"), last = this.answer.pictures.length - 1;
    const stop = () => {
      this.playing = clearInterval(this.playing);
      button.textContent = "play";
      keep();
    };
    if (this.playing) return stop();
    if (Number(this.frames.value) >= last) this.frames.value = 0;
    button.textContent = "stop";
    this.playing = setInterval(() => {
      this.frames.value = Number(this.frames.value) + 1;
      this.show();
      if (Number(this.frames.value) >= last) stop();
    }, FRAME);
  }
}

const panels = [...document.querySelectorAll("[data-view]")].map((section) => new Panel(section));

// the address after #: samples.seed=3&codes.class=2&…
function keep() {
  const all = panels.flatMap((panel) => [...panel.parameters()].map(([name, value]) => [`${panel.view}.${name}`, value]));
  history.replaceState(null, "", `#${new URLSearchParams(all)}`);
}

function restore() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const panel of panels) {
    panel.form.reset();
    for (const input of panel.form.elements) {
      const value = kept.get(`${panel.view}.${input.name}`);
      if (input.name && value !== null) input.value = value;
    }
    panel.label();
  }
}

restore();
addEventListener("hashchange", () => {
  restore();
  panels.filter((panel) => panel.seen).forEach((panel) => panel.refresh());
});
// a panel computes nothing before it is seen
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const panel = panels.find((one) => one.section === target);
    if (isIntersecting && !panel.seen) {
      panel.seen = true;
      panel.refresh();
    }
  }
});
panels.forEach((panel) => watcher.observe(panel.section));
