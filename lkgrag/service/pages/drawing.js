// The graph between a history and the first items of a ranking: history left, shared entities between, items right.

export const COLOURS = ["#2386c4", "#d55e00", "#009e73", "#cc79a7", "#9a8f00", "#8a6fd1", "#a65e2e", "#8c8c8c"];
const SPACE = "http://www.w3.org/2000/svg";
const MOST = 5;
const PITCH = 34, HEIGHT = 26, THIN = 1, THICK = 6, BEND = 14;
// Room above for the names of entities.
const ABOVE = 8;

/** One line, without characters that turn the direction of what follows. */
export function plain(text) {
  return String(text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, " ").replace(/\s+/g, " ").trim();
}

/** An element of SVG. */
export function shape(name, attributes = {}, ...children) {
  const out = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, value);
  out.append(...children);
  return out;
}

const measure = document.createElement("canvas").getContext("2d");
measure.font = "12.5px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

/** A text cut to a width in pixels, kept apart from the direction of its surroundings. */
function fit(text, width) {
  const all = plain(text);
  let letters = [...all.slice(0, 400)];
  if (measure.measureText(all.slice(0, 400)).width > width) {
    let low = 0, high = letters.length;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (measure.measureText(letters.slice(0, half).join("") + "…").width <= width) low = half; else high = half - 1;
    }
    letters = [...letters.slice(0, low).join("").trimEnd(), "…"];
  }
  return "\u2068" + letters.join("") + "\u2069";
}

function spread(count, height) {
  if (count < 2) return [height / 2];
  const inset = HEIGHT / 2 + 2;
  return Array.from({ length: count }, (_, n) => inset + ((height - 2 * inset) * n) / (count - 1));
}

/** Keys in the order of the mean place of what they lead to: few lines cross. */
function order(pairs) {
  const places = new Map();
  for (const [key, place] of pairs) places.set(key, [...(places.get(key) ?? []), place]);
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  return [...places.keys()].sort((a, b) => mean(places.get(a)) - mean(places.get(b)));
}

const keyOf = (path, n) => JSON.stringify([path.nodes[n], path.index[n] ?? -1]);

/** The kind of a path: types and relations. */
export function kindOf(path) {
  return path.nodes.map(([type], n) => (n ? `${path.relations[n - 1]} ${type}` : type)).join(" ");
}

/** The colours of the kinds of path of some items. */
export function coloursOf(items) {
  const kinds = new Set(items.flatMap((item) => item.paths.map(kindOf)));
  return new Map([...kinds].map((kind, n) => [kind, COLOURS[n % COLOURS.length]]));
}

/** The items that are drawn: the first ones, and the one that is chosen. */
export function drawnItems(items, chosen) {
  const first = items.slice(0, MOST);
  const extra = items.find((item) => item.item === chosen);
  if (!extra || first.includes(extra)) return first;
  return [...first.slice(0, MOST - 1), extra];
}

/**
 * The picture; null if no item has a path.
 * @param items that are drawn
 * @param width in pixels
 * @param colours by kind
 * @param chosen id of the item whose paths stand out, or null
 * @param choose called with the id of an item that is clicked
 */
export function draw(items, width, colours, chosen, choose) {
  const paths = items.flatMap((item, place) => item.paths.map((path) => ({ path, item, place })));
  if (!paths.length) return null;
  const left = order(paths.map(({ path, place }) => [keyOf(path, 0), place]));
  const middle = order(paths.flatMap(({ path, place }) => path.nodes.slice(1, -1).map((_, n) => [keyOf(path, n + 1), place])));
  const rows = Math.max(left.length, items.length, middle.length);
  const height = rows * PITCH;
  const side = Math.min(230, Math.round(width * 0.31));
  const [x0, x1] = [side, width - side];
  const starts = new Map(left.map((key, n) => [key, spread(left.length, height)[n]]));
  const ends = spread(items.length, height);
  const between = new Map(middle.map((key, n) => [key, spread(middle.length, height)[n]]));
  const top = Math.max(...paths.map(({ path }) => path.salience ?? -20));
  const svg = shape("svg", { viewBox: `0 ${-ABOVE} ${width} ${height + ABOVE}`, role: "img", "aria-label": "Paths from the history to the first items; the list below tells them in words" });
  const isLit = items.some((item) => item.item === chosen && item.paths.length);
  const root = shape("g", { class: isLit ? "chosen" : "" });
  const litKeys = new Set();
  const places = new Map(), names = new Map();
  const twins = new Map();
  const lines = [];
  for (const { path, item, place } of paths) {
    const lit = isLit && item.item === chosen;
    const stops = [[x0, starts.get(keyOf(path, 0))]];
    names.set(keyOf(path, 0), path.nodes[0]);
    path.nodes.slice(1, -1).forEach((node, n) => {
      const key = keyOf(path, n + 1);
      if (!places.has(key)) places.set(key, [x0 + ((x1 - x0) * (n + 1)) / (path.nodes.length - 1), between.get(key)]);
      names.set(key, node);
      stops.push(places.get(key));
    });
    stops.push([x1, ends[place]]);
    if (lit) path.nodes.slice(0, -1).forEach((_, n) => litKeys.add(keyOf(path, n)));
    const pair = keyOf(path, 0) + place;
    const number = (twins.get(pair) ?? -1) + 1;
    twins.set(pair, number);
    const bend = stops.length === 2 ? BEND * Math.ceil(number / 2) * (number % 2 ? -1 : 1) : 0;
    let curve = `M${stops[0].join(" ")}`;
    for (let n = 1; n < stops.length; n++) {
      const half = (stops[n - 1][0] + stops[n][0]) / 2;
      curve += ` C${half} ${stops[n - 1][1] + bend} ${half} ${stops[n][1] + bend} ${stops[n].join(" ")}`;
    }
    const weight = THIN + (THICK - THIN) * Math.exp((path.salience ?? -20) - top);
    const line = shape("path", { d: curve, class: `edge${isLit && !lit ? " faint" : ""}`, stroke: colours.get(kindOf(path)), "stroke-width": weight.toFixed(2) });
    line.append(shape("title", {}, plain(path.words)));
    lines.push([lit, line]);
  }
  lines.sort((a, b) => a[0] - b[0]).forEach(([, line]) => root.append(line));
  for (const [key, [x, y]] of places) {
    const [type, name] = names.get(key);
    const label = fit(plain(name) || type.replaceAll("_", " "), (x1 - x0) * 0.62);
    const half = measure.measureText(label).width / 2;
    const group = shape("g", { class: `between${isLit && !litKeys.has(key) ? " faint" : ""}` });
    group.append(shape("title", {}, `${plain(type).replaceAll("_", " ")}: ${plain(name) || "without a name"}`));
    group.append(shape("rect", { x: x - half - 4, y: y - 19, width: 2 * half + 8, height: 15, rx: 4 }));
    group.append(shape("circle", { cx: x, cy: y, r: 3 }), shape("text", { x, y: y - 8, "text-anchor": "middle" }, label));
    root.append(group);
  }
  for (const [key, y] of starts) {
    const name = names.get(key)[1] || names.get(key)[0];
    const group = shape("g", { class: `node${isLit && !litKeys.has(key) ? " faint" : ""}` }, shape("title", {}, plain(name)));
    group.append(shape("rect", { x: 0.5, y: y - HEIGHT / 2, width: side - 1, height: HEIGHT, rx: 8 }));
    group.append(shape("text", { x: side - 9, y: y + 4.5, "text-anchor": "end" }, fit(name, side - 18)));
    root.append(group);
  }
  items.forEach((item, n) => {
    const name = plain(item.title) || item.item, y = ends[n];
    const group = shape("g", { class: `node end${item.item === chosen ? " lit" : ""}${isLit && item.item !== chosen ? " faint" : ""}` });
    group.append(shape("title", {}, name));
    group.append(shape("rect", { x: x1, y: y - HEIGHT / 2, width: side, height: HEIGHT, rx: 8 }));
    group.append(shape("text", { x: x1 + 9, y: y + 4.5 }, fit(`${item.rank}. ${name}`, side - 18)));
    group.addEventListener("click", () => choose(item.item));
    root.append(group);
  });
  svg.append(root);
  return svg;
}
