"use strict";
const say = document.getElementById("status");
function told(text) { if (say) { say.textContent = ""; setTimeout(() => { say.textContent = text; }, 30); } }

async function copied(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* an old browser, or no right to */ }
  const area = document.createElement("textarea");
  area.value = text; area.setAttribute("readonly", ""); document.body.append(area); area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = document.getElementById(button.dataset.copy);
    const done = await copied(code.textContent);
    if (!done) { getSelection().selectAllChildren(code); }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    told(done ? "Code copied" : "Code selected: press Ctrl+C");
    button.focus();
    setTimeout(() => { button.textContent = "Copy code"; }, 2000);
  });
}

const tools = document.getElementById("tools");
if (tools) {
  tools.hidden = false;
  const words = document.getElementById("words"), which = document.getElementById("which");
  const shown = document.getElementById("shown");
  const rows = [...document.querySelectorAll("#entries tbody tr")].map(
    row => [row, row.closest("table").caption.textContent.toLowerCase() + " " + row.cells[0].textContent.toLowerCase()]);
  const articles = [...document.querySelectorAll("#failures [data-find]")];
  function filter() {
    const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean), kind = which.value;
    let count = 0, failures = 0;
    for (const [row, text] of rows) {
      const fits = parts.every(part => text.includes(part)) && (!kind || (row.className || "r") === kind);
      row.hidden = !fits;
      count += fits;
    }
    for (const part of document.querySelectorAll("#entries .part")) {
      part.hidden = !part.querySelector("tbody tr:not([hidden])");
    }
    for (const article of articles) {
      const text = article.textContent.toLowerCase();
      const fits = parts.every(part => text.includes(part)) && (!kind || kind === "f");
      article.hidden = !fits;
      failures += fits;
    }
    shown.textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ${shown.dataset.what}` +
      (articles.length ? `, ${failures} of ${articles.length} failures` : "") + " shown";
  }
  let wait;
  words.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(filter, 120); });
  which.addEventListener("change", filter);
  tools.addEventListener("submit", event => { event.preventDefault(); filter(); });
  filter();
}
