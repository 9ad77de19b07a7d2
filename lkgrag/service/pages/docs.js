// The API's description, drawn from /openapi.json; nothing is fetched from elsewhere.

const EXAMPLES = {
  "/recommend": { history: [], k: 5 },
  "/recommend/batch": { requests: [{ history: [], k: 3, explain: false }] },
  "/items": "q=a&k=5",
};

function make(name, classes, ...children) {
  const out = document.createElement(name);
  if (classes) out.className = classes;
  out.append(...children);
  return out;
}

const nameOf = (ref) => ref.split("/").pop();

/** A type in a few words. */
function typeOf(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf))].join(" | ");
  if (schema.type === "array") return `[${typeOf(schema.items ?? {})}]`;
  if (schema.type === "object" && schema.additionalProperties) return `{text: ${typeOf(schema.additionalProperties)}}`;
  return { string: "text", integer: "whole number", boolean: "true or false" }[schema.type] ?? schema.type ?? "anything";
}

/** The limits of a field, such as `at most 1000 elements`. */
function limitsOf(schema) {
  const words = { minimum: "at least", maximum: "at most", maxItems: "at most # elements", minItems: "at least # elements", maxLength: "at most # characters", maxProperties: "at most # names" };
  const all = [schema, ...(schema.anyOf ?? [])];
  return [...new Set(all.flatMap((one) => Object.entries(words).filter(([key]) => key in one).map(([key, text]) => (text.includes("#") ? text.replace("#", one[key]) : `${text} ${one[key]}`))))].join(", ");
}

function table(fields) {
  const rows = fields.map(({ name, schema, required, description }) => make("tr", "",
    make("td", "", make("code", "", name)), make("td", "", typeOf(schema)),
    make("td", "", [description ?? schema.description, limitsOf(schema), "default" in schema && schema.default !== null ? `default ${JSON.stringify(schema.default)}` : "", required ? "required" : ""].filter(Boolean).join("; "))));
  const head = make("tr", "", ...["field", "type", "meaning"].map((text) => { const th = make("th", "", text); th.scope = "col"; return th; }));
  return make("table", "", make("thead", "", head), make("tbody", "", ...rows));
}

function fieldsOf(schema, spec) {
  const whole = schema.$ref ? spec.components.schemas[nameOf(schema.$ref)] : schema;
  return Object.entries(whole.properties ?? {}).map(([name, field]) => ({ name, schema: field, required: whole.required?.includes(name) }));
}

function trial(method, path) {
  const example = EXAMPLES[path];
  const input = make("textarea");
  input.setAttribute("aria-label", `What is sent to ${path}`);
  input.spellcheck = false;
  input.value = typeof example === "string" ? example : JSON.stringify(example, null, 1);
  const send = make("button", "", "Send");
  send.type = "button";
  const answer = make("pre");
  answer.tabIndex = 0;
  answer.setAttribute("aria-live", "polite");
  answer.hidden = true;
  send.addEventListener("click", async () => {
    const token = sessionStorage.getItem("token");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (method === "POST" && example) headers["Content-Type"] = "application/json";
    const query = method === "GET" && example ? `?${input.value.trim()}` : "";
    answer.hidden = false;
    try {
      const response = await fetch(path + query, { method, headers, body: method === "POST" && example ? input.value : undefined });
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* Metrics are text. */ }
      answer.textContent = `${response.status}\n${shown}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  });
  const box = make("details", "", make("summary", "", "Try"));
  if (example) box.append(input);
  box.append(send, answer);
  return box;
}

function article(path, method, operation, spec) {
  const out = make("article", "", make("h2", "", make("span", "method", method), make("code", "", path)), make("p", "", operation.description ?? ""));
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  if (operation.parameters?.length) out.append(table(operation.parameters));
  if (body) out.append(table(fieldsOf(body, spec)));
  const answers = Object.entries(operation.responses).map(([status, one]) => {
    const schema = one.content?.["application/json"]?.schema;
    return make("tr", "", make("td", "", make("code", "", status)), make("td", "", schema ? typeOf(schema) : "text"), make("td", "", one.description ?? ""));
  });
  out.append(make("details", "", make("summary", "", "Answers"), make("table", "", make("tbody", "", ...answers))), trial(method, path));
  return out;
}

async function start() {
  const spec = await (await fetch("/openapi.json")).json();
  const articles = Object.entries(spec.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => article(path, method.toUpperCase(), operation, spec)));
  const used = ["Ranking", "Ranked", "Path", "Item", "Found", "Rankings", "Info", "State", "Error"].filter((name) => spec.components.schemas[name]);
  const models = used.map((name) => make("article", "", make("h2", "", make("code", "", name)), make("p", "", spec.components.schemas[name].description ?? ""), table(fieldsOf(spec.components.schemas[name], spec))));
  document.getElementById("paths").replaceChildren(...articles, ...models);
}

start().catch((error) => document.getElementById("paths").replaceChildren(make("p", "note", String(error))));
