"use strict";
// Names of metrics are foreign: on these objects "constructor" and "toString" mean nothing unless an entry has them.
const bare = (key, value) => value !== null && typeof value === "object" && !Array.isArray(value)
  ? Object.assign(Object.create(null), value) : value;
const data = JSON.parse(document.getElementById("data").textContent, bare);
const byId = (id) => document.getElementById(id);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Plotly reads labels as markup of its own; names and texts of entries are none.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const words = (name) => name.replaceAll("_", " ");
const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

function layout(x, y) {
  const axis = { gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--line") };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("--text"), family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: color("--panel"), bordercolor: color("--line"), font: { color: color("--text") }, align: "left" },
    margin: { l: 60, r: 15, t: 15, b: 50 }, hovermode: "closest", showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    xaxis: { ...axis, ...x }, yaxis: { ...axis, ...y },
  };
}

// --- models ---------------------------------------------------------------------------------------------------------

const costs = { params: "parameters, M", macs: "GMACs a clip" };
const ticks = [-3, -2, -1, 0, 1, 2, 3].flatMap((power) => [1, 2, 3, 5, 7].map((digit) => digit * 10 ** power));
const shown = () => [...byId("table").tBodies].filter((body) => !body.hidden).map((body) => Number(body.dataset.index));

function drawScores() {
  const metric = byId("metric").value, cost = byId("cost").value, visible = new Set(shown());
  const trace = (origin, name, shade) => {
    const models = data.models.filter((model, index) =>
      visible.has(index) && model.origin === origin && metric in model.metrics);
    return {
      type: "scatter", mode: "markers", name, marker: { color: color(shade), size: 11, opacity: 0.85 },
      x: models.map((model) => model[cost]), y: models.map((model) => model.metrics[metric]),
      text: models.map((model) => `<b>${plain(model.name)}</b><br>${plain(model.clip)} ${plain(model.modality)}`
        + `<br>${model.params.toFixed(2)} M parameters, ${model.macs.toFixed(2)} GMACs`
        + `<br>${plain(words(metric))} ${model.metrics[metric].toFixed(3)}<br>${plain(model.dataset)}`),
      hovertemplate: "%{text}<extra></extra>",
    };
  };
  const traces = [trace("kdvideo", "trained with kdvideo", "--own"), trace("others", "published by others", "--other")];
  Plotly.react("scores", traces, layout({ type: "log", tickvals: ticks, title: { text: costs[cost] } },
    { title: { text: plain(words(metric)) } }), config);
}

function writeScores() {
  const metric = byId("metric").value;
  byId("table").querySelector("[data-key=score] button").textContent = words(metric);
  for (const body of byId("table").tBodies) {
    const value = data.models[body.dataset.index].metrics[metric];
    body.querySelector(".score").textContent = value === undefined ? "-" : value.toFixed(3);
  }
}

function sortValue(body, key) {
  const model = data.models[body.dataset.index];
  return key === "score" ? model.metrics[byId("metric").value] : model[key];
}

function sortBy(header) {
  const table = byId("table"), key = header.dataset.key;
  const down = header.ariaSort === "ascending";
  for (const other of table.tHead.rows[0].cells) other.ariaSort = "none";
  header.ariaSort = down ? "descending" : "ascending";
  const rank = (one, other) => typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true });
  const bodies = [...table.tBodies].sort((one, other) => {
    const [first, second] = [sortValue(one, key), sortValue(other, key)];
    if (first === undefined || second === undefined) return (first === undefined) - (second === undefined);  // last
    return down ? rank(second, first) : rank(first, second);
  });
  table.append(...bodies);
}

function filter() {
  const wanted = byId("filter").value.toLowerCase().split(/\s+/), origin = byId("origin").value;
  for (const body of byId("table").tBodies) {
    const model = data.models[body.dataset.index];
    const text = [model.name, model.dataset, model.licence, model.teacher, model.weights, model.clip, model.modality,
      model.source].join(" ").toLowerCase();
    body.hidden = !(wanted.every((word) => text.includes(word)) && (!origin || model.origin === origin));
  }
  byId("count").textContent = `${shown().length} of ${data.models.length} models`;
  drawScores();
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  getSelection().selectAllChildren(code);  // so that it can be copied by hand where the browser forbids the rest
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Selected";
  }
}

function onTableClick(event) {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.classList.contains("copy")) {
    copy(button);
  } else if (button.classList.contains("more")) {
    const details = byId(button.getAttribute("aria-controls"));
    details.hidden = !details.hidden;
    button.ariaExpanded = String(!details.hidden);
  } else {
    sortBy(button.parentElement);
  }
}

// --- curves ---------------------------------------------------------------------------------------------------------

function drawCurves() {
  const metric = byId("curve-metric").value;
  const runs = data.curves.map((run) => ({ name: run.name, points: run.epochs.filter((line) => metric in line) }))
    .filter((run) => run.points.length);
  const traces = runs.map((run) => ({
    type: "scatter", mode: "lines+markers", name: plain(run.name), marker: { size: 5 },
    x: run.points.map((line) => line.epoch), y: run.points.map((line) => line[metric]),
    hovertemplate: `<b>${plain(run.name).replaceAll("%", "&#37;")}</b><br>epoch %{x}: %{y:.4g}<extra></extra>`,
  }));
  Plotly.react("plot-curves", traces, layout({ title: { text: "epoch" } }, { title: { text: plain(words(metric)) } }),
    config);
  byId("curve-table").tBodies[0].replaceChildren(...runs.map((run) => {
    const row = document.createElement("tr"), values = run.points.map((line) => line[metric]);
    const last = run.points[run.points.length - 1];
    const numbers = [Math.min(...values), Math.max(...values), last[metric]].map((value) => value.toPrecision(4));
    [run.name, last.epoch, ...numbers].forEach((text, column) => {
      const cell = document.createElement(column ? "td" : "th");
      cell.textContent = text;
      if (column) cell.className = "number"; else cell.scope = "row";
      row.append(cell);
    });
    return row;
  }));
}

// --- start ----------------------------------------------------------------------------------------------------------

function draw() {
  if (byId("table")) drawScores();
  if (byId("curve-metric")) drawCurves();
}

if (byId("table")) {
  byId("table").addEventListener("click", onTableClick);
  byId("filter").addEventListener("input", filter);
  byId("origin").addEventListener("change", filter);
  byId("cost").addEventListener("change", drawScores);
  byId("metric").addEventListener("change", () => { writeScores(); drawScores(); });
  byId("filter").value = "";
  filter();
}
if (byId("curve-metric")) {
  byId("curve-metric").addEventListener("change", drawCurves);
  drawCurves();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
