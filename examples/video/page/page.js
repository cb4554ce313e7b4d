// Plays the recording, and shows of each block what the cache said of it. No library.

const POLL = 250; // milliseconds
const MIB = 1 << 20;
const NEVER = [0, 0, 0];
// What a block was last, by its number in /counts.json.
const STATES = [, "hit", "joined", "miss"];
const REASONS = {
  hit: "warm: from the cache",
  joined: "joined a fetch under way",
  miss: "cold: from the origin",
  browser: "the browser still had it",
};

const element = (id) => document.getElementById(id);
const player = element("player");
const map = element("map");

const facts = await (await fetch("/recording.json")).json();

// ---- Where in the file a moment is --------------------------------------------------------------

const blockAt = (seconds) => Math.min(Math.floor((facts.header + seconds * facts.bytesPerSecond) / facts.blockSize), facts.blocks - 1);
const momentOf = (block) => Math.max(0, (block * facts.blockSize - facts.header) / facts.bytesPerSecond);
const chordAt = (seconds) => Math.floor(seconds / facts.chordSeconds) % facts.chords.length;
const hue = (chord) => 205 + (chord * 360) / facts.chords.length;

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function bytes(count) {
  const mib = count / MIB;
  return mib < 10 && !Number.isInteger(mib) ? `${mib.toFixed(1)} MiB` : `${Math.round(mib)} MiB`;
}

// ---- The blocks ---------------------------------------------------------------------------------

const nameOf = (block) => `block ${block}, from ${clock(momentOf(block))}`;
const cells = Array.from({ length: facts.blocks }, (_, block) => {
  const cell = document.createElement("i");
  cell.dataset.block = block;
  cell.title = `${nameOf(block)}: never asked for`;
  return cell;
});
map.append(...cells);
map.style.setProperty("--cell", facts.blocks > 1200 ? "8px" : facts.blocks > 500 ? "13px" : "18px");

let answers = new Map(); // block → [hits, joined, misses]
const answersOf = (block) => answers.get(block) ?? NEVER;

function showBlock(block, counts, last) {
  const before = answersOf(block);
  if (counts.every((count, index) => count === before[index])) return;
  const [hits, joined, misses] = counts;
  const cell = cells[block];
  cell.dataset.state = STATES[last];
  cell.classList.toggle("again", misses > 1);
  cell.title = `${nameOf(block)}: ${misses} × from the origin, ${joined} × joined, ${hits} × from the cache`;
  cell.classList.remove("fresh");
  void cell.offsetWidth; // so that it is animated once more
  cell.classList.add("fresh");
}

function forgetBlocks() {
  for (const [block, cell] of cells.entries()) {
    delete cell.dataset.state;
    cell.className = "";
    cell.title = `${nameOf(block)}: never asked for`;
  }
  answers = new Map();
}

function show({ viewer, cache, memory, origin }) {
  const seen = new Map(cache.blocks.map(([block, ...counts]) => [block, counts.slice(0, 3)]));
  // Somebody cleared the cache, here or in another window.
  if ([...answers].some(([block, counts]) => counts.some((count, index) => count > (seen.get(block) ?? NEVER)[index]))) forgetBlocks();
  for (const [block, , , , last] of cache.blocks) showBlock(block, seen.get(block), last);
  answers = seen;

  const served = cache.hits + cache.joined + cache.misses;
  const say = (id, text) => (element(id).textContent = text);
  say("touched", seen.size);
  say("hits", cache.hits);
  say("joined", cache.joined);
  say("misses", cache.misses);
  say("served", served);
  say("share", served === 0 ? "–" : `${Math.round((100 * cache.hits) / served)} %`);
  say("viewer-requests", viewer.requests);
  say("viewer-bytes", bytes(viewer.bytes));
  say("origin-requests", origin.requests);
  say("origin-bytes", bytes(origin.bytes));
  say("under-way", origin.underWay);
  say("memory", `${Math.round(memory.used / MIB)} of ${bytes(memory.capacity)}`);
  say("evictions", memory.evictions);
}

async function look() {
  try {
    const response = await fetch("/counts.json");
    show(await response.json());
    element("gone").hidden = true;
  } catch {
    element("gone").hidden = false;
  }
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, POLL);
}

// ---- Seeking ------------------------------------------------------------------------------------

let seek = null;
let previous = null; // where we were before the last jump
let dragging = false;

function go(seconds) {
  previous = player.currentTime;
  element("back").disabled = false;
  player.currentTime = Math.min(Math.max(seconds, 0), facts.seconds - 1);
}

player.addEventListener("seeking", () => {
  const block = blockAt(player.currentTime);
  // Sought again before it was there: it is the last place that counts, from now on.
  seek = { begun: performance.now(), to: player.currentTime, block, before: answersOf(block) };
});

player.addEventListener("seeked", async () => {
  if (seek === null) return;
  const { begun, to, block, before } = seek;
  seek = null;
  const millis = Math.round(performance.now() - begun);
  await look();
  const [hits, joined, misses] = answersOf(block).map((count, index) => count - before[index]);
  const kind = misses > 0 ? "miss" : joined > 0 ? "joined" : hits > 0 ? "hit" : "browser";
  const line = document.createElement("li");
  line.dataset.kind = kind;
  line.dataset.block = block;
  line.dataset.millis = millis;
  for (const text of [clock(to), `${millis} ms`, REASONS[kind]]) line.append(Object.assign(document.createElement("span"), { textContent: text }));
  element("seeks").prepend(line);
  while (element("seeks").children.length > 6) element("seeks").lastChild.remove();
});

// ---- What is heard, as a picture ----------------------------------------------------------------

const bar = element("seek");
function showPlace(seconds) {
  bar.value = seconds;
  bar.style.setProperty("--part", `${(100 * seconds) / facts.seconds}%`);
  element("time").textContent = clock(seconds);
}

const dial = element("dial");
const pen = dial.getContext("2d");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let here = null;

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const size = Math.round(dial.clientWidth * ratio);
  if (dial.width !== size) dial.width = dial.height = size;
  const moment = player.currentTime;
  const chord = chordAt(moment);
  const [within, middle] = [moment % facts.chordSeconds, size / 2];
  const colour = (light, alpha = 1) => `hsl(${hue(chord)} 70% ${light}% / ${alpha})`;
  document.documentElement.style.setProperty("--chord", colour(62));
  pen.clearRect(0, 0, size, size);

  // The bell of this second, and how it fades.
  const bell = still.matches ? 0 : (1 - (within % 1)) ** 3;
  pen.fillStyle = colour(58, 0.1 + 0.22 * bell);
  pen.beginPath();
  pen.arc(middle, middle, size * (0.3 + 0.05 * bell), 0, 2 * Math.PI);
  pen.fill();

  // Ten seconds.
  const turn = (2 * Math.PI) / facts.chordSeconds;
  pen.lineWidth = size * 0.05;
  for (let second = 0; second < facts.chordSeconds; second += 1) {
    const [from, whole] = [second * turn - Math.PI / 2, turn - 0.06];
    const part = Math.min(Math.max(within - second, 0), 1);
    for (const [style, length] of [[colour(58, 0.16), whole], [colour(62), whole * part]]) {
      pen.strokeStyle = style;
      pen.beginPath();
      pen.arc(middle, middle, size * 0.44, from + 0.03, from + 0.03 + length);
      if (length > 0) pen.stroke();
    }
  }

  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = colour(78);
  pen.font = `650 ${size * 0.17}px system-ui, sans-serif`;
  pen.fillText(facts.chords[chord], middle, middle - size * 0.045);
  pen.fillStyle = colour(78, 0.75);
  pen.font = `${size * 0.07}px system-ui, sans-serif`;
  pen.fillText(player.seeking ? "seeking …" : clock(moment), middle, middle + size * 0.09);

  const block = blockAt(moment);
  if (block !== here) {
    cells[here]?.classList.remove("here");
    here = block;
  }
  cells[here].classList.add("here");
  if (!dragging) showPlace(moment);
  requestAnimationFrame(draw);
}

// ---- Buttons ------------------------------------------------------------------------------------

const play = element("play");
function toggle() {
  if (player.paused) player.play().catch(() => {});
  else player.pause();
}
function showPlaying() {
  play.textContent = player.paused ? "▶" : "❚❚";
  play.setAttribute("aria-label", player.paused ? "Play" : "Pause");
}
for (const event of ["play", "pause", "ended"]) player.addEventListener(event, showPlaying);
play.onclick = toggle;
addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target.closest("button")) return;
  event.preventDefault();
  toggle();
});

bar.oninput = () => {
  dragging = true;
  showPlace(Number(bar.value));
};
bar.onchange = () => {
  dragging = false;
  go(Number(bar.value));
};
for (const button of document.querySelectorAll("[data-part]")) {
  button.onclick = () => go(facts.seconds * Number(button.dataset.part));
}
element("random").onclick = () => go(facts.seconds * Math.random());
element("back").onclick = () => go(previous);
map.onclick = ({ target }) => {
  // A block begins within a sample's length of where it is sought.
  if (target.dataset.block) go(momentOf(Number(target.dataset.block)) + 0.1);
};
element("clear").onclick = async () => {
  await fetch("/clear", { method: "POST" });
  forgetBlocks();
  await look();
};

element("minutes").textContent = facts.seconds / 60;
element("size").textContent = Math.round(facts.length / MIB);
element("block-size").textContent = facts.blockSize % MIB === 0 ? bytes(facts.blockSize) : `${facts.blockSize / 1024} KiB`;
element("delay").textContent = facts.originDelay;
element("all").textContent = facts.blocks;
bar.max = facts.seconds;
element("end").textContent = clock(facts.seconds);
draw();
keepLooking();
