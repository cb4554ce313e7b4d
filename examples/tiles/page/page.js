// A small map: it asks for tiles, shows them, and says of each what the cache in front of the
// server did. No library.

const TILE = 256;
const MAX_ZOOM = 12;
// As many as a browser opens connections to one server with HTTP/1.1. We queue the rest ourselves,
// so that a tile's time is the server's and not that of the browser's queue.
const AT_ONCE = 6;
const KINDS = ["hit", "joined", "miss", "reload", "other"];

const map = document.getElementById("map");
const plane = document.getElementById("tiles");

// Where the middle of the window is, on the world's square (0 to 1), and how deep.
const view = { x: 0.5, y: 0.36, zoom: 3 };

// ---- What the cache did -------------------------------------------------------------------------

// Cache-Status (RFC 9211) may list several caches; ours is the member named frontage.
function judge(header) {
  const members = (header ?? "").split(",").map((member) => member.trim());
  const ours = members.find((member) => /^"?frontage"?\s*(;|$)/.test(member));
  if (!ours) return "other";
  const [, ...parameters] = ours.split(";").map((parameter) => parameter.trim());
  const forwarded = parameters.find((parameter) => parameter.startsWith("fwd="))?.slice(4);
  if (parameters.includes("hit")) return "hit";
  if (parameters.some((parameter) => /^collapsed(=\?1)?$/.test(parameter))) return "joined";
  if (forwarded === "request") return "reload";
  if (forwarded?.endsWith("miss")) return "miss";
  return "other";
}

// What the browser measured of the latest answer to a URL.
function measured(url) {
  const entry = performance.getEntriesByName(new URL(url, location).href).at(-1);
  if (entry === undefined) return {};
  return {
    // From the request's first byte to the answer's last: the page's own work is left out.
    millis: entry.requestStart > 0 ? entry.responseEnd - entry.requestStart : undefined,
    // A browser that revalidates shows the page a 200 with the 304's header fields, Cache-Status
    // among them. What gives it away is the transfer size: by definition 300 for a bare header.
    revalidated: entry.transferSize === 300 && entry.encodedBodySize > 0,
  };
}

async function ask(url, cache) {
  const begun = performance.now();
  const response = await fetch(url, { cache });
  const body = await response.blob();
  const elapsed = performance.now() - begun;
  const { millis = elapsed, revalidated = false } = measured(url);
  if (!response.ok) throw new Error((await body.text()).trim() || response.statusText);
  const status = response.headers.get("cache-status");
  return {
    body,
    millis,
    status,
    kind: judge(status),
    age: response.headers.get("age"),
    drawing: Number(/render;dur=([\d.]+)/.exec(response.headers.get("server-timing"))?.[1] ?? 0),
    revalidated,
  };
}

function duration(millis) {
  if (millis >= 10000) return `${(millis / 1000).toFixed(0)} s`;
  if (millis >= 1000) return `${(millis / 1000).toFixed(1)} s`;
  return `${millis.toFixed(millis > 0 && millis < 10 ? 1 : 0)} ms`;
}

// ---- Totals -------------------------------------------------------------------------------------

let answers = [];
let drawnAtReset = null;
let drawn = null;

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

let totalsDue = false;
function showTotals() {
  if (totalsDue) return;
  totalsDue = true;
  requestAnimationFrame(() => {
    totalsDue = false;
    for (const kind of KINDS) {
      const times = answers.filter((answer) => answer.kind === kind).map((answer) => answer.millis);
      const row = document.querySelector(`tr[data-kind=${kind}]`);
      row.cells[1].textContent = times.length;
      row.cells[2].textContent = times.length ? duration(median(times)) : "–";
      if (kind === "other") row.hidden = times.length === 0;
      const bar = document.querySelector(`#share .${kind}`);
      if (bar) bar.style.flexGrow = times.length;
    }
    const spared = answers
      .filter((answer) => answer.kind === "hit" || answer.kind === "joined")
      .reduce((sum, answer) => sum + answer.drawing, 0);
    document.getElementById("spared").textContent = duration(spared);
    document.getElementById("drawn").textContent = drawn === null ? "–" : `${drawn - drawnAtReset} tiles`;
    drawChart();
  });
}

// The newest answers as dots, a decade of time per rule.
function drawChart() {
  const canvas = document.getElementById("chart");
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const [width, height, gutter] = [canvas.width, canvas.height, 56];
  const down = (millis) => height - 12 - (Math.log10(Math.min(Math.max(millis, 0.5), 2000) / 0.5) / Math.log10(4000)) * (height - 24);
  pen.clearRect(0, 0, width, height);
  pen.font = "20px system-ui, sans-serif";
  pen.textBaseline = "middle";
  for (const millis of [1, 10, 100, 1000]) {
    const y = Math.round(down(millis)) + 0.5;
    pen.fillStyle = style.getPropertyValue("--rule");
    pen.fillRect(gutter, y, width - gutter, 1.5);
    pen.fillStyle = style.getPropertyValue("--soft");
    pen.fillText(millis === 1000 ? "1 s" : millis === 1 ? "1 ms" : `${millis}`, 0, y);
  }
  const step = 5;
  const newest = answers.slice(-Math.floor((width - gutter - 16) / step));
  newest.forEach((answer, index) => {
    pen.fillStyle = style.getPropertyValue(`--${answer.kind}`);
    pen.globalAlpha = 0.8;
    pen.beginPath();
    pen.arc(gutter + 8 + index * step, down(answer.millis), 4.5, 0, 2 * Math.PI);
    pen.fill();
  });
  pen.globalAlpha = 1;
}

async function countDrawn() {
  try {
    drawn = (await (await fetch("/renders")).json()).tiles;
    drawnAtReset ??= 0;
    showTotals();
  } catch {
    // The server is gone; the tiles will say so.
  }
}

// ---- Tiles --------------------------------------------------------------------------------------

const levels = new Map(); // zoom → { element, origin, tiles: Map of "x/y" → Tile }
let queue = [];
let running = 0;

function layers() {
  return [...document.querySelectorAll("#layers input:checked")].map((input) => input.value).join("+");
}

class Tile {
  constructor(level, x, y) {
    Object.assign(this, { level, x, y, gone: false, loaded: false, asked: 0 });
    this.element = document.createElement("div");
    this.element.className = "tile";
    this.element.style.left = `${(x - level.originX) * TILE}px`;
    this.element.style.top = `${(y - level.originY) * TILE}px`;
    level.element.append(this.element);
  }

  url() {
    const columns = 2 ** this.level.zoom;
    const x = ((this.x % columns) + columns) % columns;
    return `/tiles/${layers()}/${this.level.zoom}/${x}/${this.y}.png`;
  }

  // How far from the middle of the window, in tiles.
  distance() {
    const columns = 2 ** this.level.zoom;
    return Math.hypot(this.x + 0.5 - view.x * columns, this.y + 0.5 - view.y * columns);
  }

  enqueue(cache = "default") {
    this.asked += 1;
    queue = queue.filter((job) => job.tile !== this);
    queue.push({ tile: this, cache, ticket: this.asked });
    // Not now: whoever asks for many tiles lets them all queue before the nearest is chosen.
    queueMicrotask(work);
  }

  async load(cache, ticket) {
    if (layers() === "") {
      this.element.replaceChildren();
      this.loaded = true;
      return;
    }
    try {
      const answer = await ask(this.url(), cache);
      answers.push(answer);
      showTotals();
      const image = new Image();
      image.alt = "";
      image.src = URL.createObjectURL(answer.body);
      await image.decode().catch(() => {});
      URL.revokeObjectURL(image.src);
      // Meanwhile it may have left the window or been asked for with other layers.
      if (this.gone || ticket !== this.asked) return;
      if (!this.loaded) image.className = "fresh";
      this.element.replaceChildren(image, badge(answer));
      this.element.title = `${this.url()}\nCache-Status: ${answer.status ?? "(none)"}` + (answer.age ? `\nAge: ${answer.age}` : "");
    } catch (error) {
      if (this.gone || ticket !== this.asked) return;
      this.element.querySelector(".badge")?.remove();
      this.element.append(failure(error));
    }
    this.loaded = true;
  }

  remove() {
    this.gone = true;
    this.element.remove();
  }
}

function badge(answer) {
  const pill = document.createElement("div");
  pill.className = `badge fresh ${answer.kind}`;
  const kind = document.createElement("b");
  kind.textContent = answer.kind;
  pill.append(kind, `${answer.revalidated ? "304 · " : ""}${duration(answer.millis)}`);
  return pill;
}

function failure(error) {
  const pill = document.createElement("div");
  pill.className = "badge failed other";
  pill.textContent = error.message;
  return pill;
}

let renewal = 0;
async function work() {
  while (running < AT_ONCE && queue.length > 0) {
    queue = queue.filter((job) => !job.tile.gone);
    queue.sort((a, b) => a.tile.distance() - b.tile.distance());
    const job = queue.shift();
    if (!job) break;
    running += 1;
    job.tile.load(job.cache, job.ticket).finally(() => {
      running -= 1;
      if (running === 0 && queue.length === 0) settled();
      work();
    });
  }
}

// All that was asked for is here.
function settled() {
  // The browser keeps only a few hundred of these.
  performance.clearResourceTimings();
  clearTimeout(renewal);
  renewal = setTimeout(countDrawn, 50);
  update();
}

function forEachTile(action) {
  for (const level of levels.values()) level.tiles.forEach(action);
}

// ---- Where we are -------------------------------------------------------------------------------

// The zoom whose tiles are shown; while the map glides there, they are scaled.
let target = view.zoom;
let updateDue = false;

function update() {
  if (updateDue) return;
  updateDue = true;
  requestAnimationFrame(() => {
    updateDue = false;
    place();
  });
}

function minZoom() {
  return Math.ceil(Math.log2(Math.max(map.clientHeight, TILE) / TILE));
}

function clampView() {
  view.x -= Math.floor(view.x);
  const half = map.clientHeight / 2 / (TILE * 2 ** view.zoom);
  view.y = half >= 0.5 ? 0.5 : Math.min(Math.max(view.y, half), 1 - half);
}

function levelAt(zoom) {
  let level = levels.get(zoom);
  if (!level) {
    const columns = 2 ** zoom;
    const element = document.createElement("div");
    element.className = "level";
    level = { zoom, element, tiles: new Map(), originX: Math.floor(view.x * columns), originY: Math.floor(view.y * columns) };
    levels.set(zoom, level);
    plane.append(element);
  }
  return level;
}

function place() {
  clampView();
  const [width, height] = [map.clientWidth, map.clientHeight];
  const current = levelAt(target);
  plane.append(current.element); // on top of the others

  for (const level of [...levels.values()]) {
    const columns = 2 ** level.zoom;
    const scale = 2 ** (view.zoom - level.zoom);
    // The view's x wraps around; a level stays on the turn that is nearest to its origin.
    const turn = Math.round(level.originX / columns - view.x);
    const x = view.x + turn;
    const left = width / 2 - (x * columns - level.originX) * TILE * scale;
    const top = height / 2 - (view.y * columns - level.originY) * TILE * scale;
    level.element.style.transform = `translate3d(${Math.round(left)}px, ${Math.round(top)}px, 0) scale(${scale})`;
    level.element.classList.toggle("old", level !== current);

    // A level that the map glides to is asked for what it will show in the end.
    const size = level === current ? TILE : TILE * scale;
    const reach = { x: width / 2 / size, y: height / 2 / size };
    const [first, last] = [Math.floor(x * columns - reach.x), Math.floor(x * columns + reach.x)];
    const [north, south] = [Math.max(0, Math.floor(view.y * columns - reach.y)), Math.min(columns - 1, Math.floor(view.y * columns + reach.y))];
    for (const [key, tile] of level.tiles) {
      const near = tile.x >= first - 1 && tile.x <= last + 1 && tile.y >= north - 1 && tile.y <= south + 1;
      if (!near || (level !== current && !tile.loaded)) {
        tile.remove();
        level.tiles.delete(key);
      }
    }
    if (level === current) {
      for (let y = north; y <= south; y += 1) {
        for (let x = first; x <= last; x += 1) {
          const key = `${x}/${y}`;
          if (!level.tiles.has(key)) {
            const tile = new Tile(level, x, y);
            level.tiles.set(key, tile);
            tile.enqueue();
          }
        }
      }
    }
  }

  // Other levels are what is seen until the current one is complete.
  if ([...current.tiles.values()].every((tile) => tile.loaded)) {
    for (const level of [...levels.values()].filter((level) => level !== current)) {
      level.tiles.forEach((tile) => tile.remove());
      level.element.remove();
      levels.delete(level.zoom);
    }
  }
  showPlace();
}

function latitude() {
  return (Math.atan(Math.sinh((0.5 - view.y) * 2 * Math.PI)) * 180) / Math.PI;
}

let hashDue = 0;
function showPlace() {
  const [north, east] = [latitude(), (view.x - 0.5) * 360];
  const degrees = (value, positive, negative) => `${Math.abs(value).toFixed(2)}° ${value < 0 ? negative : positive}`;
  document.getElementById("where").textContent = `${degrees(north, "N", "S")}, ${degrees(east, "E", "W")}`;
  document.getElementById("level").textContent = target;
  document.getElementById("in").disabled = target >= MAX_ZOOM;
  document.getElementById("out").disabled = target <= minZoom();
  clearTimeout(hashDue);
  hashDue = setTimeout(() => history.replaceState(null, "", `#${target}/${north.toFixed(3)}/${east.toFixed(3)}`), 200);
}

function readPlace() {
  const [zoom, north, east] = location.hash.slice(1).split("/").map(Number);
  if (Number.isFinite(zoom) && Number.isFinite(north) && Number.isFinite(east)) {
    view.x = east / 360 + 0.5;
    view.y = 0.5 - Math.asinh(Math.tan((Math.min(Math.max(north, -85), 85) * Math.PI) / 180)) / (2 * Math.PI);
    target = Math.round(zoom);
  }
  target = Math.min(Math.max(target, minZoom()), MAX_ZOOM);
  view.zoom = target;
}

// ---- Moving -------------------------------------------------------------------------------------

let glide = 0;
// Calls `step` with the part of the way that is done, 0 to 1.
function animate(millis, step) {
  cancelAnimationFrame(glide);
  const begun = performance.now();
  const frame = (now) => {
    const part = Math.min(Math.max((now - begun) / millis, 0), 1);
    step(1 - (1 - part) ** 3);
    update();
    if (part < 1) glide = requestAnimationFrame(frame);
  };
  glide = requestAnimationFrame(frame);
}

// Zooms by whole steps; the place under (x, y) in the window stays there.
function zoomBy(steps, x = map.clientWidth / 2, y = map.clientHeight / 2) {
  const next = Math.min(Math.max(target + steps, minZoom()), MAX_ZOOM);
  if (next === target) return;
  target = next;
  const offset = { x: x - map.clientWidth / 2, y: y - map.clientHeight / 2 };
  const pixels = () => TILE * 2 ** view.zoom;
  const anchor = { x: view.x + offset.x / pixels(), y: view.y + offset.y / pixels() };
  const from = view.zoom;
  animate(220, (part) => {
    view.zoom = part === 1 ? next : from + (next - from) * part;
    view.x = anchor.x - offset.x / pixels();
    view.y = anchor.y - offset.y / pixels();
  });
}

function panBy(dx, dy) {
  // A glide that is broken off may have been a zoom.
  view.zoom = target;
  const from = { ...view };
  const pixels = TILE * 2 ** view.zoom;
  animate(160, (part) => {
    view.x = from.x + (dx * part) / pixels;
    view.y = from.y + (dy * part) / pixels;
  });
}

let grip = null;
map.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  cancelAnimationFrame(glide);
  view.zoom = target;
  map.setPointerCapture(event.pointerId);
  map.classList.add("dragging");
  grip = { id: event.pointerId, x: event.clientX, y: event.clientY };
});
map.addEventListener("pointermove", (event) => {
  if (grip?.id !== event.pointerId) return;
  const pixels = TILE * 2 ** view.zoom;
  view.x -= (event.clientX - grip.x) / pixels;
  view.y -= (event.clientY - grip.y) / pixels;
  grip.x = event.clientX;
  grip.y = event.clientY;
  update();
});
for (const end of ["pointerup", "pointercancel"]) {
  map.addEventListener(end, () => {
    grip = null;
    map.classList.remove("dragging");
  });
}

let wheel = 0;
map.addEventListener("wheel", (event) => {
  event.preventDefault();
  // Lines count as 40 pixels; a notch of a mouse is about 100, a trackpad sends many small ones.
  wheel += event.deltaMode === 0 ? event.deltaY : event.deltaY * 40;
  if (Math.abs(wheel) >= 60) {
    zoomBy(wheel < 0 ? 1 : -1, event.clientX, event.clientY);
    wheel = 0;
  }
}, { passive: false });
map.addEventListener("dblclick", (event) => zoomBy(event.shiftKey ? -1 : 1, event.clientX, event.clientY));

const badges = document.getElementById("badges");
function showBadges() {
  map.classList.toggle("badges", badges.checked);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: [-160, 0], ArrowRight: [160, 0], ArrowUp: [0, -160], ArrowDown: [0, 160] };
  if (moves[event.key]) panBy(...moves[event.key]);
  else if (event.key === "+" || event.key === "=") zoomBy(1);
  else if (event.key === "-") zoomBy(-1);
  else if (event.key === "b") {
    badges.checked = !badges.checked;
    showBadges();
  } else return;
  event.preventDefault();
});

// ---- Buttons ------------------------------------------------------------------------------------

document.getElementById("in").onclick = () => zoomBy(1);
document.getElementById("out").onclick = () => zoomBy(-1);
document.getElementById("again").onclick = () => forEachTile((tile) => tile.enqueue());
document.getElementById("reload").onclick = () => forEachTile((tile) => tile.enqueue("reload"));
document.getElementById("reset").onclick = () => {
  answers = [];
  drawnAtReset = drawn;
  showTotals();
};
document.getElementById("layers").onchange = () => forEachTile((tile) => tile.enqueue());
badges.onchange = showBadges;
addEventListener("resize", () => {
  if (target < minZoom()) zoomBy(minZoom() - target);
  update();
});
addEventListener("hashchange", () => {
  readPlace();
  update();
});

readPlace();
showBadges();
showTotals();
update();
