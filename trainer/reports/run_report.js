"use strict";
// Without this script every curve is still there: it shows the values under the pointer.
const tip = document.getElementById("tip");
const show = (value, percent) => percent ? (100 * value).toFixed(1) + "%" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(4));
for (const svg of document.querySelectorAll("[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart), cursor = svg.querySelector(".cursor");
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    let place = null; tip.replaceChildren();
    for (const line of chart.lines) {
      let best = 0; line.x.forEach((x, i) => { if (Math.abs(x - at) < Math.abs(line.x[best] - at)) best = i; });
      if (place === null) { place = line.x[best]; const head = document.createElement("b"); head.textContent = "step " + Math.round(line.step[best]).toLocaleString("en"); tip.append(head); }
      const row = document.createElement("div"); row.textContent = line.name + "  " + show(line.y[best], chart.percent); tip.append(row);
    }
    cursor.setAttribute("x1", place); cursor.setAttribute("x2", place); cursor.style.opacity = 1; tip.style.opacity = 1;
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px"; tip.style.top = event.clientY + 14 + "px";
  });
  svg.addEventListener("pointerleave", () => { cursor.style.opacity = 0; tip.style.opacity = 0; });
}
