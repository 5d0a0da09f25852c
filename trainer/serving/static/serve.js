"use strict";
// Everything that a model or a person wrote goes into the page as text, never as markup.
const by = (id) => document.getElementById(id);
const problem = by("problem");
const text = by("text");
let running = null; // what ends the request in progress

function complain(message) {
  problem.textContent = message;
  problem.hidden = !message;
}

// Calls `take` with each event of an answer to a POST; an error of the server is thrown with its words.
async function stream(address, body, take) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: running.signal,
  });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) if (event !== "data: [DONE]") take(JSON.parse(event.slice("data: ".length)));
  }
}

// Runs one request: `work` may be ended by the button, and what goes wrong is said.
async function request(work) {
  running = new AbortController();
  by("send").disabled = true;
  by("stop").disabled = false;
  complain("");
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") complain(error.message);
  } finally {
    running = null;
    by("send").disabled = false;
    by("stop").disabled = true;
  }
}

// Adds what somebody said to the conversation in `log`; returns the element of its words.
function show(log, role, name, words) {
  log.querySelector(".empty")?.remove();
  const box = document.createElement("div");
  box.className = `said ${role}`;
  const who = document.createElement("b");
  who.textContent = name;
  const what = document.createElement("div");
  what.className = "words";
  what.textContent = words;
  box.append(who, what);
  log.append(box);
  log.scrollTop = log.scrollHeight;
  return what;
}

// The address of a link, or null: a page of the web may have any URL, and only these two kinds lead to a page.
function webAddress(url) {
  const found = URL.canParse(url) ? new URL(url) : null;
  return found && ["http:", "https:"].includes(found.protocol) && !found.username ? found.href : null;
}

// The passage that a model has read, with the place that it comes from.
function source({ url, document: id, offset, similarity, text }) {
  const item = document.createElement("li");
  const address = webAddress(url);
  const place = document.createElement(address ? "a" : "span");
  place.textContent = address ?? (url || id);
  if (address) Object.assign(place, { href: address, target: "_blank", rel: "noopener noreferrer" });
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = `from token ${offset}, similarity ${similarity.toFixed(2)}`;
  const words = document.createElement("p");
  words.textContent = text;
  details.append(summary, words);
  item.append(place, details);
  return item;
}

// Lists the sources of an answer under its words.
function cite(answer, sources) {
  const list = document.createElement(sources.length ? "ol" : "p");
  list.className = "sources";
  if (sources.length) list.append(...sources.map(source));
  else list.textContent = "No passage fits into the model's context.";
  answer.after(list);
}

if (text) {
  by("stop").addEventListener("click", () => running?.abort());
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    by("ask").requestSubmit();
  });
}

const log = by("log");
if (log) {
  let messages = [];
  by("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value;
    if (running || !words.trim()) return;
    const asked = { role: "user", content: words };
    const system = by("system").value.trim() ? [{ role: "system", content: by("system").value }] : [];
    const body = { model: by("model").value, messages: [...system, ...messages, asked], stream: true, drop_oldest: true };
    for (const name of ["temperature", "top_p", "max_tokens"])
      if (by(name).value !== "") body[name] = Number(by(name).value);
    const question = show(log, "user", "You", words).parentElement;
    const answer = show(log, "assistant", body.model, "");
    const before = messages;
    text.value = "";
    answer.classList.add("busy");
    log.ariaBusy = "true";
    request(() =>
      stream("/v1/chat/completions", body, (event) => {
        const low = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
        if (event.sources) cite(answer, event.sources);
        answer.append(event.choices[0]?.delta.content ?? "");
        if (low) log.scrollTop = log.scrollHeight;
      }),
    ).then(() => {
      answer.classList.remove("busy");
      log.ariaBusy = "false";
      if (messages !== before) return; // a new conversation was begun meanwhile
      if (answer.textContent.trim()) {
        messages = [...before, asked, { role: "assistant", content: answer.textContent }];
        return;
      }
      if (!problem.hidden) {
        question.remove();
        answer.parentElement.remove();
        text.value ||= words;
      } else answer.textContent = "(no answer)";
    });
  });
  by("again").addEventListener("click", () => {
    running?.abort();
    messages = [];
    log.replaceChildren();
    complain("");
    text.focus();
  });
}

const compare = by("compare");
if (compare) {
  const past = by("past");
  let battle = null;
  let after = null; // the battle whose conversation goes on
  let asked = "";
  const buttons = [...compare.querySelectorAll("[data-vote]")];
  const allow = (can) => buttons.forEach((button) => (button.disabled = !can));
  by("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running || !text.value.trim()) return;
    let whole = false;
    let next = null;
    battle = null;
    asked = text.value;
    allow(false);
    for (const side of ["left", "right"]) {
      by(side).textContent = "";
      by(side).classList.add("busy");
      by(`${side}-name`).textContent = side === "left" ? "Left" : "Right";
    }
    by("said").textContent = "";
    by("answers").hidden = by("votes").hidden = false;
    request(() =>
      stream("/compare/battle", { prompt: asked, after }, (event) => {
        if (event.battle) next = event.battle;
        else if (event.side) by(event.side).append(event.text);
        else whole = event.done;
      }),
    ).then(() => {
      for (const side of ["left", "right"]) by(side).classList.remove("busy");
      if (!whole) return;
      battle = next;
      allow(true);
      by("said").textContent = "Which answer is better? Keys 1 to 4 vote.";
      text.blur();
    });
  });
  const vote = async (button) => {
    const voted = battle;
    battle = null; // one vote
    allow(false);
    try {
      const answer = await fetch("/compare/vote", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ battle: voted, vote: button.dataset.vote }),
      });
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error.message);
      by("left-name").textContent = `Left: ${found.left}`;
      by("right-name").textContent = `Right: ${found.right}`;
      by("said").textContent = `Stored. Left was ${found.left}, right was ${found.right}.`;
      const better = button.dataset.vote === "bad" ? "" : by(button.dataset.vote === "right" ? "right" : "left").textContent;
      if (better.trim()) {
        after = voted;
        past.hidden = false;
        show(past, "user", "You", asked);
        show(past, "assistant", "The better answer", better);
      }
      text.focus();
      text.select();
    } catch (error) {
      complain(error.message);
    }
  };
  for (const button of buttons) button.addEventListener("click", () => battle && vote(button));
  by("again").addEventListener("click", () => {
    running?.abort();
    battle = after = null;
    past.replaceChildren();
    past.hidden = by("answers").hidden = by("votes").hidden = true;
    by("said").textContent = text.value = "";
    complain("");
    text.focus();
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === text) return;
    compare.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
  });
}
