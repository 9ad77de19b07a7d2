// The page for people: builds a history, asks the service, shows the ranking and its explanation.
// Texts of the data are only ever set as text, never as HTML.

import { coloursOf, draw, drawnItems, kindOf, plain, shape } from "./drawing.js";

const $ = (id) => document.getElementById(id);
const PARTS = { lm: "language model", scorer: "path scorer", prior: "retriever", request: "request" };
const WAIT = 180;

const state = { info: null, history: [], user: "", request: "", weight: 0, k: 10, compare: false, chosen: null, side: 0, answers: [] };
let found = [], active = -1, asked = 0, searched = 0;

/** An element with classes and children; texts stay texts. */
function make(name, classes, ...children) {
  const out = document.createElement(name);
  if (classes) out.className = classes;
  out.append(...children);
  return out;
}

const nameOf = (item) => plain(item.title) || plain(item.item) || "(no title)";
const isolated = (text, classes) => make("bdi", classes, text);
const figure = (value) => (value ?? 0).toFixed(2).replace("-0.00", "0.00").replace("-", "−");

function later(work) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(work, WAIT); };
}

/** Ask the service; an error has its one line. */
async function call(path, body) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) $("unlock").hidden = false;
  if (!response.ok) throw new Error(answer.error ?? `the service answered ${response.status}`);
  const warnings = JSON.parse(response.headers.get("X-Lkgrag-Warnings") ?? "[]");
  return { answer, warnings };
}

// The state of the service.

async function start() {
  try {
    state.info = (await call("/info")).answer;
  } catch (error) {
    tell(error.message, true);
    return;
  }
  const { run, users, items, requests, language_model: with_lm, without_lm } = state.info;
  $("unlock").hidden = true;
  $("about").textContent = `${plain(run)} · ${users.toLocaleString("en")} users · ${items.toLocaleString("en")} items`;
  document.title = `${plain(run)} · lkgrag`;
  $("words").hidden = !requests;
  const can = with_lm && without_lm;
  $("compare").disabled = !can;
  $("no-compare").hidden = can;
  if (with_lm && !without_lm) $("no-compare").textContent = "Nothing else than the language model ranks here.";
  const most = state.info.limits.k;
  for (const option of [...$("k").options]) option.disabled = Number(option.value) > Math.min(most, items);
  if ($("k").selectedOptions[0]?.disabled !== false) $("k").value = [...$("k").options].find((o) => !o.disabled)?.value ?? "";
  state.k = Number($("k").value) || Math.min(most, items);
  await rank();
}

function tell(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

// Search.

const search = later(async () => {
  const query = $("search").value;
  const number = ++searched;
  if (!query.trim()) { show([]); return; }
  try {
    const { answer } = await call(`/items?${new URLSearchParams({ q: query, k: 20 })}`);
    if (number === searched) show(answer.items, query);
  } catch (error) {
    if (number === searched) { show([]); tell(error.message, true); }
  }
});

function show(items, query = "") {
  found = items;
  active = items.length ? 0 : -1;
  $("found").replaceChildren(...items.map((item, n) => {
    const option = make("li", "", isolated(nameOf(item)));
    option.id = `found-${n}`;
    option.setAttribute("role", "option");
    option.addEventListener("mousedown", (event) => event.preventDefault());
    option.addEventListener("click", () => add(item));
    return option;
  }));
  if (!items.length && query.trim()) $("found").append(make("li", "none", "No title fits"));
  $("found").hidden = !query.trim();
  $("search").setAttribute("aria-expanded", String(!$("found").hidden));
  move(0);
}

function move(step) {
  if (found.length) active = (active + step + found.length) % found.length;
  [...$("found").children].forEach((option, n) => option.setAttribute("aria-selected", String(n === active)));
  const option = $(`found-${active}`);
  if (option) { $("search").setAttribute("aria-activedescendant", option.id); option.scrollIntoView({ block: "nearest" }); }
  else $("search").removeAttribute("aria-activedescendant");
}

function closeSearch() {
  searched++;
  show([]);
}

$("search").addEventListener("input", search);
$("search").addEventListener("blur", () => { $("found").hidden = true; $("search").setAttribute("aria-expanded", "false"); });
$("search").addEventListener("focus", () => { if ($("search").value.trim()) search(); });
$("search").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); move(event.key === "ArrowDown" ? 1 : -1); }
  else if (event.key === "Enter") { event.preventDefault(); if (found[active] && !$("found").hidden) add(found[active]); }
  else if (event.key === "Escape") closeSearch();
});

// History.

function add(item) {
  if (state.user) { state.user = ""; $("user").value = ""; }
  state.history = state.history.filter((other) => other.item !== item.item);
  state.history.push({ item: item.item, title: item.title });
  const most = state.info?.limits.history ?? 1000;
  state.history = state.history.slice(-most);
  $("search").value = "";
  closeSearch();
  state.chosen = null;
  drawHistory();
  rank();
}

function drawHistory() {
  const isUser = Boolean(state.user);
  const shown = isUser ? (state.answers[0]?.history ?? []) : state.history;
  $("history").replaceChildren(...shown.map((item, n) => {
    const chip = make("li", isUser ? "fixed" : "", isolated(nameOf(item), "title"));
    if (!isUser) {
      const remove = make("button", "", "×");
      remove.type = "button";
      remove.setAttribute("aria-label", `Remove ${nameOf(item)}`);
      remove.addEventListener("click", () => {
        state.history.splice(n, 1);
        drawHistory();
        ($("history").querySelectorAll("button")[Math.min(n, state.history.length - 1)] ?? $("search")).focus();
        rank();
      });
      chip.append(remove);
    }
    return chip;
  }));
  $("history").scrollTop = $("history").scrollHeight;
  $("count").textContent = shown.length ? `(${shown.length}, latest last)` : "";
  $("empty").hidden = shown.length > 0;
  $("clear").hidden = isUser || !shown.length;
}

$("clear").addEventListener("click", () => { state.history = []; drawHistory(); $("search").focus(); rank(); });

// The other fields.

const rankLater = later(() => rank());
$("request").addEventListener("input", () => { state.request = $("request").value.trim(); $("weigh").hidden = !state.request; rankLater(); });
$("weight").addEventListener("input", () => { state.weight = Number($("weight").value); rankLater(); });
$("user").addEventListener("input", () => { state.user = $("user").value.trim(); if (!state.user) drawHistory(); rankLater(); });
$("k").addEventListener("change", () => { state.k = Number($("k").value); rank(); });
$("compare").addEventListener("change", () => { state.compare = $("compare").checked; state.side = 0; rank(); });
$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  $("token").value = "";
  start();
});

const THEMES = ["system", "light", "dark"];
function paint(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = { system: "◐", light: "☀", dark: "☾" }[theme];
  $("theme").setAttribute("aria-label", `Colours: ${theme === "system" ? "as the system" : theme}`);
}
let theme = THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system";
paint(theme);
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  localStorage.setItem("theme", theme);
  paint(theme);
});

// The ranking.

async function rank() {
  if (!state.info) return;
  const number = ++asked;
  const body = { k: state.k, ...(state.user ? { user: state.user } : { history: state.history.map((item) => item.item) }) };
  if (state.request) Object.assign(body, { request: state.request, weight: 10 ** (state.weight / 2) });
  const kinds = state.compare ? [true, false] : [null];
  $("results").classList.add("busy");
  $("results").setAttribute("aria-busy", "true");
  try {
    const answers = await Promise.all(kinds.map((lm) => call("/recommend", lm === null ? body : { ...body, lm })));
    if (number !== asked) return;
    state.answers = answers.map(({ answer }) => answer);
    const warnings = [...new Set(answers.flatMap((one) => one.warnings))];
    $("warning").textContent = warnings.join(" · ");
    $("warning").hidden = !warnings.length;
    if (!state.answers.some((answer) => answer.items.some((item) => item.item === state.chosen))) state.chosen = null;
    state.side = Math.min(state.side, state.answers.length - 1);
    if (state.user) drawHistory();
    showRanking();
    const who = state.user ? `user ${plain(state.user)}` : state.history.length ? "this history" : "someone new";
    tell(`${state.answers[0].items.length} items for ${who}${state.request ? ", as asked for" : ""}${difference()}`);
  } catch (error) {
    if (number !== asked) return;
    tell(error.message, true);
  } finally {
    if (number === asked) { $("results").classList.remove("busy"); $("results").removeAttribute("aria-busy"); }
  }
}

/** What the language model changes, in words; empty without a comparison. */
function difference() {
  if (state.answers.length < 2) return "";
  const [one, other] = state.answers.map((answer) => answer.items.map((item) => item.item));
  const moved = one.filter((item, n) => item !== other[n]).length;
  return moved ? `: the language model changes ${moved} of ${one.length} places` : ": the language model changes nothing here";
}

function choose(item, side) {
  const isSame = state.chosen === item && state.side === side;
  state.chosen = isSame ? null : item;
  state.side = side;
  showRanking();
}

function showRanking() {
  const focused = document.activeElement?.dataset?.key;
  const colours = coloursOf(state.answers.flatMap((answer) => answer.items));
  const isTwo = state.answers.length > 1;
  $("columns").className = isTwo ? "two" : "";
  const heads = ["With language model", "Without"];
  const ranks = state.answers.map((answer) => new Map(answer.items.map((item) => [item.item, item.rank])));
  $("columns").replaceChildren(...state.answers.map((answer, side) => {
    const column = make("div", "column");
    const list = make("ol");
    if (isTwo) { const head = make("h2", "", heads[side]); head.id = `head-${side}`; list.setAttribute("aria-labelledby", head.id); column.append(head); }
    else list.setAttribute("aria-label", "Items, best first");
    const scale = scaleOf(answer.items);
    list.append(...answer.items.map((item) => row(item, side, colours, scale, isTwo ? ranks[1 - side] : null)));
    column.append(list);
    if (answer.items.length > 1 && !answer.items.some((item) => item.scorer) && answer.items.some((item) => item.paths.length)) {
      column.append(make("p", "soft", "The path scorer has no weight in these scores: the paths show what it found, not what decided."));
    }
    return column;
  }));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  picture(colours);
}

function row(item, side, colours, scale, other) {
  const isChosen = item.item === state.chosen && side === state.side;
  const out = make("li", `item${isChosen ? " lit" : ""}`, make("span", "rank", String(item.rank)));
  const button = make("button", "choose", isolated(nameOf(item)));
  button.type = "button";
  button.dataset.key = `${side} ${item.item}`;
  button.title = nameOf(item).slice(0, 300);
  button.setAttribute("aria-pressed", String(isChosen));
  button.addEventListener("click", () => choose(item.item, side));
  out.append(button, other ? movement(item, other) : adder(item));
  const more = make("div", "more", parts(item), bars(item, scale));
  const why = make("ul", "why");
  why.setAttribute("aria-label", `Why ${nameOf(item)}`);
  if (item.moved) why.append(make("li", "", `${item.moved > 0 ? "up" : "down"} ${Math.abs(item.moved)} for variety`));
  if (item.asked) why.append(make("li", "", isolated(plain(item.asked), "asked")));
  for (const path of item.paths) {
    const dot = shape("svg", { viewBox: "0 0 10 10", class: "dot", "aria-hidden": "true" }, shape("circle", { cx: 5, cy: 5, r: 5, fill: colours.get(kindOf(path)) }));
    why.append(make("li", "", dot, isolated(plain(path.words), "words")));
  }
  if (why.children.length) more.append(why);
  out.append(more);
  return out;
}

function adder(item) {
  const isThere = !state.user && state.history.some((one) => one.item === item.item);
  if (isThere) return make("span");
  const button = make("button", "add", "+");
  button.type = "button";
  button.setAttribute("aria-label", `Add ${nameOf(item)} to the history`);
  button.addEventListener("click", () => { add(item); $("results").focus({ preventScroll: true }); });
  return button;
}

function movement(item, other) {
  const before = other.get(item.item);
  if (before === undefined) return labelled("move new", "•", "only here");
  const step = before - item.rank;
  if (!step) return labelled("move", "=", "at the same place");
  return step > 0 ? labelled("move up", `▲${step}`, `${step} higher than on the other side`) : labelled("move down", `▼${-step}`, `${-step} lower than on the other side`);
}

function labelled(classes, text, label) {
  const out = make("span", classes, text);
  out.setAttribute("role", "img");
  out.setAttribute("aria-label", label);
  out.title = label;
  return out;
}

const there = (item) => Object.keys(PARTS).filter((part) => item[part]);

function parts(item) {
  const out = make("p", "parts", make("b", "", figure(item.score)));
  out.setAttribute("aria-label", "Score and its parts");
  for (const part of there(item)) out.append(make("span", "", make("i", part), `${PARTS[part]} ${figure(item[part])}`));
  return out;
}

/** The mean of each part over a list, and the largest distance from it: a retriever's scores are all below 0, so only their distances tell. */
function scaleOf(items) {
  const mean = Object.fromEntries(Object.keys(PARTS).map((part) => [part, items.reduce((sum, item) => sum + (item[part] ?? 0), 0) / Math.max(1, items.length)]));
  const ahead = (item, part) => (item[part] ?? 0) - mean[part];
  return { ahead, most: Math.max(1e-9, ...items.flatMap((item) => Object.keys(PARTS).map((part) => Math.abs(ahead(item, part))))) };
}

/** The parts of a score beside their means over the list: to the left of the middle what is below, to the right what is above. */
function bars(item, { ahead, most }) {
  const svg = shape("svg", { class: "bars", viewBox: "-100 0 200 8", preserveAspectRatio: "none", "aria-hidden": "true" });
  let left = 0, right = 0;
  const total = Math.max(1, ...[-1, 1].map((sign) => there(item).reduce((sum, part) => sum + Math.max(0, sign * ahead(item, part)), 0) / most));
  for (const part of there(item)) {
    const value = ahead(item, part), width = (Math.abs(value) / most / total) * 100;
    const x = value < 0 ? -(left += width) : right;
    if (value >= 0) right += width;
    svg.append(shape("rect", { class: part, x: x.toFixed(2), y: 1.5, width: width.toFixed(2), height: 5 }));
  }
  svg.append(shape("rect", { class: "axis", x: -0.35, y: 0, width: 0.7, height: 8 }));
  return svg;
}

function picture(colours) {
  const answer = state.answers[state.side];
  if (!answer) return;
  const items = drawnItems(answer.items, state.chosen);
  $("drawing").hidden = false;
  const style = getComputedStyle($("drawing"));
  const width = Math.max(260, Math.floor($("drawing").clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)));
  const svg = draw(items, width, colours, state.chosen, (item) => choose(item, state.side));
  $("drawing").hidden = !svg;
  if (!svg) return;
  $("picture").replaceChildren(svg);
  const names = state.info.kinds ?? {};
  const kinds = [...new Set(items.flatMap((item) => item.paths.map(kindOf)))];
  $("kinds").replaceChildren(...kinds.map((kind) => make("li", "",
    shape("svg", { width: 18, height: 6, "aria-hidden": "true" }, shape("rect", { width: 18, height: 5, rx: 2.5, fill: colours.get(kind) })),
    isolated(plain(names[kind] ?? kind.replaceAll("rev_", "").replaceAll("_", " "))))));
}

let wide = window.innerWidth;
window.addEventListener("resize", later(() => { if (window.innerWidth !== wide && state.answers.length) { wide = window.innerWidth; showRanking(); } }));

drawHistory();
start();
