"use strict";
// Without this script everything works by buttons. It only follows a handle while it is dragged, and the voting keys.
const format = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = (value) => String(Number(Number(value).toPrecision(4)));
const percent = (share) => (share === 0 ? "0%" : share < 0.001 ? "<0.1%" : (100 * share).toFixed(share < 0.1 ? 1 : 0) + "%");

// Calls `load` with the newest argument only, one request at a time.
function newest(load) {
  let running = false;
  let next = null;
  return async function call(argument) {
    next = argument;
    if (running) return;
    running = true;
    while (next !== null) {
      const current = next;
      next = null;
      await load(current);
    }
    running = false;
  };
}

async function ask(address, values) {
  const answer = await fetch(address + "?" + new URLSearchParams(values));
  return answer.ok ? answer.json() : null;
}

function list(element, rows, kind) {
  const items = rows.map((row) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `/page/${kind}/${row.part}/${row.row}`;
    link.textContent = row.url || row.id;
    const value = document.createElement("b");
    value.textContent = row.value === null ? "" : short(row.value);
    item.append(link, " ", value);
    return item;
  });
  const empty = document.createElement("li");
  empty.textContent = "none";
  const whole = document.createElement("ul");
  whole.className = "samples";
  whole.append(...(items.length ? items : [empty]));
  element.replaceChildren(whole);
}

const limit = document.getElementById("limit");
if (limit) {
  const handle = document.getElementById("handle");
  const value = document.getElementById("value");
  const line = document.getElementById("line");
  const chart = document.querySelector("svg[data-low]");
  const show = newest(async (wanted) => {
    const found = await ask(limit.dataset.api, { setting: limit.dataset.setting, value: wanted });
    if (!found || !document.getElementById("moved")) return;
    for (const name of ["lost_pages", "lost_words", "passed_pages"])
      document.getElementById(name).textContent = format.format(found[name]);
    list(document.getElementById("lost"), found.lost, "kept");
    list(document.getElementById("passed"), found.passed, "dropped");
    document.getElementById("toml").textContent = found.toml;
  });
  if (line) {
    // The line in the chart moves the handle beside it, which the keyboard moves, too.
    const drag = (event) => {
      if (!(event.buttons & 1)) return;
      const box = chart.getBoundingClientRect();
      const low = Number(chart.dataset.low);
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      handle.value = low + share * (Number(chart.dataset.high) - low);
      handle.dispatchEvent(new Event("input"));
    };
    chart.classList.add("draggable");
    chart.addEventListener("pointerdown", (event) => {
      chart.setPointerCapture(event.pointerId);
      event.preventDefault();
      drag(event);
    });
    chart.addEventListener("pointermove", drag);
  }
  handle.addEventListener("input", () => {
    const low = Number(chart.dataset.low);
    const high = Number(chart.dataset.high);
    value.value = short(handle.value);
    if (line) for (const end of ["x1", "x2"]) line.setAttribute(end, (800 * (handle.value - low)) / (high - low));
    history.replaceState(null, "", "?" + new URLSearchParams({ setting: limit.dataset.setting, value: value.value }));
    show(value.value);
  });
}

const mixture = document.getElementById("mixture");
if (mixture) {
  const moved = () =>
    Object.fromEntries([...mixture.querySelectorAll("[data-moved]")].map((input) => [input.name, input.value]));
  const show = newest(async (targets) => {
    const found = await ask(mixture.dataset.api, targets);
    if (!found) return;
    document.getElementById("toml").textContent = found.toml;
    for (const domain of found.domains) {
      const row = mixture.querySelector(`tr[data-domain="${CSS.escape(domain.domain)}"]`);
      if (!row) continue;
      row.querySelector("[data-cell=target]").textContent = percent(domain.target);
      row.querySelector("[data-cell=weighted]").textContent = percent(domain.weighted);
      row.querySelector("[data-cell=repetitions]").textContent = domain.repetitions.toFixed(2);
    }
  });
  mixture.addEventListener("input", (event) => {
    event.target.dataset.moved = "";
    history.replaceState(null, "", "?" + new URLSearchParams(moved()));
    show(moved());
  });
}

const vote = document.getElementById("vote");
if (vote)
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    vote.querySelector(`button[data-key="${CSS.escape(event.key)}"]`)?.click();
  });
