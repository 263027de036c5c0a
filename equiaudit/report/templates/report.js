"use strict";
for (const layers of document.querySelectorAll(".layers")) {  // the first broken layer comes into view
  const row = layers.querySelector("tr.first");
  if (row) layers.scrollTop = row.offsetTop - layers.clientHeight / 3;
}
(() => {
  const table = document.querySelector(".summary");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const find = document.getElementById("find"), chips = [...document.querySelectorAll(".chip")];
  const key = (row, n) => row.cells[n].dataset.sort ?? row.cells[n].textContent.trim();

  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const on = new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.verdict));
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(on.has(row.dataset.verdict) && words.every((w) => text.includes(w)));
      document.querySelector(row.querySelector("a").getAttribute("href")).hidden = row.hidden;
    }
  };
  find.addEventListener("input", filter);
  for (const chip of chips) chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
    filter();
  });

  [...table.tHead.rows[0].cells].forEach((head, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const empty = (v) => v === "";
      rows.sort((p, q) => {
        const a = key(p, n), b = key(q, n);
        if (empty(a) || empty(b)) return empty(a) - empty(b);  // without a number: last, either way
        return sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
      });
      body.append(...rows);
    });
  });
  if (rows.length > 1) document.querySelector(".tools").hidden = false;
})();
