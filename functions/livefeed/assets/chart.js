// One chart for each service: what was wanted as a line, what ran as an area.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 700, HEIGHT = 140, LEFT = 28, BOTTOM = 18, TOP = 6;
const MOST = 1500;

function make(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent?.append(node);
  return node;
}

// Steps of 1, 2 or 5 times a power of ten, about four of them.
function ticks(most) {
  const rough = most / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough));
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

export const clock = (ms) => new Date(ms).toISOString().slice(11, 19);

export class Chart {
  constructor(parent, name, fill, colour) {
    this.name = name;
    this.colour = colour;
    this.points = [];
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const title = document.createElement("b");
    title.textContent = name;
    const words = document.createElement("span");
    words.textContent = fill ? "line: room for it, area: running" : "line: wanted, area: running";
    this.read = document.createElement("output");
    caption.append(title, words, this.read);
    this.svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `wanted and running tasks of ${name}` });
    figure.append(caption, this.svg);
    parent.append(figure);
    this.svg.addEventListener("pointermove", (event) => this.hover(event));
    this.svg.addEventListener("pointerleave", () => { this.cursor = undefined; this.draw(); });
  }

  add(at, wanted, running) {
    const last = this.points.at(-1);
    if (last && at <= last.at) return;
    this.points.push({ at, wanted, running });
    // Every other point of the older half goes: recent minutes stay sharp.
    if (this.points.length > MOST) this.points = this.points.filter((_, i) => i > MOST / 2 || i % 2 === 0);
  }

  x(at) { return LEFT + (WIDTH - LEFT) * (at - this.from) / Math.max(1, this.to - this.from); }
  y(tasks) { return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * tasks / this.most; }

  draw() {
    if (this.points.length < 2) return;
    this.from = this.points[0].at;
    this.to = this.points.at(-1).at;
    this.most = Math.max(1, ...this.points.map((p) => Math.max(p.wanted, p.running)));
    this.svg.replaceChildren();
    for (const tick of ticks(this.most)) {
      make("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: this.y(tick), y2: this.y(tick) }, this.svg);
      make("text", { x: LEFT - 5, y: this.y(tick) + 4, "text-anchor": "end" }, this.svg).textContent = tick;
    }
    for (let i = 0; i <= 4; i++) {
      const at = this.from + (this.to - this.from) * i / 4;
      const anchor = i === 0 ? "start" : i === 4 ? "end" : "middle";
      make("text", { x: this.x(at), y: HEIGHT - 3, "text-anchor": anchor }, this.svg).textContent = clock(at);
    }
    // Values hold until the next, so both are drawn in steps.
    const steps = (pick) => this.points.flatMap((p, i) => {
      const y = this.y(pick(p)).toFixed(1), next = this.points[i + 1];
      return next ? [`${this.x(p.at).toFixed(1)},${y}`, `${this.x(next.at).toFixed(1)},${y}`] : [`${this.x(p.at).toFixed(1)},${y}`];
    }).join(" ");
    const base = this.y(0);
    make("polygon", { class: `running f${this.colour}`, points: `${LEFT},${base} ${steps((p) => p.running)} ${WIDTH},${base}` }, this.svg);
    make("polyline", { class: "wanted", points: steps((p) => p.wanted) }, this.svg);
    if (this.cursor) make("line", { class: "cursor", x1: this.x(this.cursor.at), x2: this.x(this.cursor.at), y1: TOP, y2: base }, this.svg);
    const shown = this.cursor ?? this.points.at(-1);
    this.read.textContent = `${clock(shown.at)}  wanted ${shown.wanted}, running ${shown.running}`;
  }

  hover(event) {
    const box = this.svg.getBoundingClientRect();
    const at = this.from + (this.to - this.from) * ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT);
    this.cursor = this.points.reduce((best, p) => Math.abs(p.at - at) < Math.abs(best.at - at) ? p : best, this.points[0]);
    this.draw();
  }
}
