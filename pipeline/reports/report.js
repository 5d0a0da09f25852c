"use strict";
// Without this script everything is still there: samples open by hand, and the filter box stays hidden.
const box = document.getElementById("filter");
const details = [...document.querySelectorAll("details.reason")];
const found = document.getElementById("found");

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  target.scrollIntoView();
}

function filter() {
  const wanted = box.value.trim().toLowerCase();
  let cards = 0;
  for (const reason of details) {
    let shown = 0;
    for (const card of reason.querySelectorAll(".card")) {
      const match = !wanted || (reason.dataset.name + " " + card.textContent).toLowerCase().includes(wanted);
      card.hidden = !match;
      shown += match;
    }
    reason.hidden = wanted !== "" && shown === 0;
    if (wanted) reason.open = shown > 0;
    cards += shown;
  }
  found.textContent = wanted ? `${cards} sampled pages` : "";
}

if (box) {
  box.closest("p").hidden = false;
  box.addEventListener("input", filter);
}
for (const button of document.querySelectorAll("button[data-open]"))
  button.addEventListener("click", () => details.forEach((item) => (item.open = button.dataset.open === "yes")));
addEventListener("hashchange", openTarget);
openTarget();
