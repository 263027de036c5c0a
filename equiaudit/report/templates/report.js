"use strict";
(() => {
  const said = document.getElementById("listed");
  const say = (text) => { if (said) said.textContent = text; };
  document.documentElement.classList.add("js");

  document.addEventListener("click", async (event) => {
    const button = event.target.closest(".copy");
    if (!button) return;
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // no clipboard without permission: mark the code and ask the old way
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });

  const fill = (article) => {  // the rest of an article, which is kept as text until it is wanted
    const rest = article.querySelector("script.rest");
    if (!rest) return;
    rest.insertAdjacentHTML("afterend", rest.textContent);
    rest.remove();
  };
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) if (isIntersecting) {
      near.unobserve(target);
      fill(target);
    }
  }, { rootMargin: "800px" });
  for (const rest of document.querySelectorAll("script.rest")) near.observe(rest.parentNode);

  const arrive = () => {  // a link leads to what it names, also where that is filtered away or closed
    const target = document.getElementById(location.hash.slice(1));
    if (!target || target.localName !== "article") return;
    target.hidden = false;
    fill(target);
    for (const closed of target.querySelectorAll("details.more")) closed.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", arrive);
  addEventListener("load", arrive);

  let opened = [];
  addEventListener("beforeprint", () => {  // paper can't be clicked; what is exact stays short
    for (const rest of document.querySelectorAll("article:not([hidden]) > script.rest")) fill(rest.parentNode);
    opened = [...document.querySelectorAll("article:not([hidden]) > details:not([open], .more)")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });

  const table = document.querySelector(".summary");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], few = rows.filter((row) => !row.hidden).length;
  const find = document.getElementById("find"), all = document.getElementById("all");
  const chips = [...document.querySelectorAll(".chip")];
  const group = document.getElementById("group"), change = document.getElementById("change");
  let order = rows, limit = few, known;

  const learn = () => new Map(rows.map((row) => [row, {
    text: row.textContent.toLowerCase(),
    group: row.querySelector(".group").textContent,
    article: document.getElementById(row.querySelector("a").hash.slice(1)),
  }]));
  const show = (changed) => {
    known ??= learn();
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const on = new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.verdict));
    let matching = 0;
    for (const row of order) {
      const { text, group: its, article } = known.get(row);
      const match = on.has(row.dataset.verdict) && (!group?.value || its === group.value)
        && (!change?.value || row.dataset.change === change.value) && words.every((w) => text.includes(w));
      if (match) matching += 1;
      row.hidden = !match || matching > limit;
      if (article.hidden === match) article.hidden = !match;
    }
    count(matching, changed);
  };
  const count = (matching, changed = "") => {
    const listed = Math.min(matching, limit);
    const part = matching < rows.length ? `${matching} of ${rows.length} audits match` : `${rows.length} audits`;
    say(`${part}${listed < matching ? `, ${listed} listed` : ""}${changed}`);
    all.hidden = listed === matching;
    all.textContent = `list all ${matching}`;
  };
  let waiting;
  find.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, rows.length > 500 ? 120 : 0, ""); });
  for (const select of [group, change]) select?.addEventListener("change", () => show(""));
  for (const chip of chips) chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
    show("");
  });
  all.addEventListener("click", () => {
    limit = Infinity;
    show("");
    find.focus();
  });

  const key = (row, n) => row.cells[n].dataset.sort ?? row.cells[n].textContent.trim();
  [...table.tHead.rows[0].cells].forEach((head, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const up = before ? before !== "ascending" : !head.classList.contains("n"), sign = up ? 1 : -1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const keys = new Map(rows.map((row) => [row, key(row, n)]));
      order = [...rows].sort((p, q) => {
        const a = keys.get(p), b = keys.get(q);
        if (a === "" || b === "") return (a === "") - (b === "");  // without a number: last, either way
        return sign * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
      });
      body.append(...order);
      show(`, sorted by ${button.textContent}, ${up ? "ascending" : "descending"}`);
    });
  });
  if (rows.length > 1) document.querySelector(".tools").hidden = false;
  count(rows.length);
})();
