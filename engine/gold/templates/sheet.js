"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const sheet = JSON.parse(byId("sheet").textContent);
  const place = `seal-gold-${sheet.sheet}`;
  const sides = ["A", "B"];
  const answers = new Map(); // text -> feature -> value
  const [NOTHING, HALF, COMPLETE] = [0, 1, 2]; // what of a pair is answered
  const states = sheet.pairs.map(() => NOTHING);
  let at = 0; // the pair that is shown
  let rows = []; // its cells, a row a question
  let kept = true; // whether the browser keeps what is answered
  let exported = true; // whether all of it is in a file

  function element(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  }
  const say = (text) => (byId("status").textContent = text);

  // Pairs, their questions, and what is answered.
  function cellsOf(pair) {
    return sheet.features.map((feature) =>
      feature.once && pair.conversation
        ? [{ feature, side: null, texts: pair.texts.map((text) => text.id) }]
        : pair.texts.map((text, side) => ({ feature, side, texts: [text.id] })),
    );
  }
  const valueOf = ({ feature, texts }) => answers.get(texts[0])?.get(feature.name);
  const isAnswered = (cell) => valueOf(cell) !== undefined;
  function judge(place) {
    const cells = cellsOf(sheet.pairs[place]).flat();
    states[place] = cells.every(isAnswered) ? COMPLETE : cells.some(isAnswered) ? HALF : NOTHING;
  }
  const thatAre = (state) => sheet.pairs.filter((_, place) => states[place] === state);
  function isAllowed({ kind, values, max_items }, value) {
    if (kind === "boolean") return typeof value === "boolean";
    if (kind === "enum") return values.includes(value);
    const isList = Array.isArray(value) && value.length <= max_items && new Set(value).size === value.length;
    return isList && value.every((one) => values.includes(one));
  }
  function put({ feature, texts }, value) {
    for (const text of texts) {
      if (!answers.has(text)) answers.set(text, new Map());
      if (value === undefined) answers.get(text).delete(feature.name);
      else answers.get(text).set(feature.name, value);
    }
  }
  const plain = () => Object.fromEntries([...answers].map(([text, said]) => [text, Object.fromEntries(said)]));

  // What the browser keeps, under the sheet's own hash.
  function keep() {
    try {
      localStorage.setItem(place, JSON.stringify({ labeler: byId("labeler").value, pair: sheet.pairs[at].id, answers: plain() }));
      kept = true;
    } catch {
      kept = false;
    }
    byId("storage").hidden = kept;
  }
  function restore() {
    let saved = null;
    try {
      saved = JSON.parse(localStorage.getItem(place));
    } catch {
      return;
    }
    if (typeof saved !== "object" || saved === null) return;
    answers.clear();
    for (const cell of sheet.pairs.flatMap(cellsOf).flat()) {
      const found = cell.texts.map((text) => saved.answers?.[text]?.[cell.feature.name]);
      if (found.every((value) => isAllowed(cell.feature, value))) put(cell, found[0]);
    }
    states.forEach((_, place) => judge(place));
    if (typeof saved.labeler === "string") byId("labeler").value = saved.labeler;
    at = Math.max(0, sheet.pairs.findIndex((pair) => pair.id === saved.pair));
  }

  // Drawing. Text of others becomes text nodes and nothing else.
  function textBox(label, pieces, kind) {
    const shown = pieces.map((piece) => (Array.isArray(piece) ? element("span", { class: "hidden-character" }, piece[0]) : piece));
    return element("div", { class: `text ${kind}`, tabindex: "0", role: "region", "aria-label": label, dir: "auto" }, ...shown);
  }
  function drawTexts(pair) {
    const drawn = pair.texts.map((text, side) => {
      const parts = [element("h3", {}, `Response ${sides[side]}`), textBox(`Response ${sides[side]}`, text.response, "response")];
      if (!pair.conversation) {
        const label = `Conversation before response ${sides[side]}`;
        parts.unshift(element("h3", {}, label), textBox(label, text.conversation, "conversation"));
      }
      return element("div", {}, ...parts);
    });
    const inside = [element("div", { class: "sides" }, ...drawn)];
    if (pair.conversation) inside.unshift(element("h3", {}, "Conversation"), textBox("Conversation", pair.conversation, "conversation"));
    byId("texts").replaceChildren(...inside);
    for (const box of document.querySelectorAll(".conversation")) box.scrollTop = box.scrollHeight; // its last turn
  }
  function choicesOf({ kind, values }) {
    if (kind === "boolean") return [["Yes", "y", true], ["No", "n", false]];
    const named = values.map((value, i) => [value, i < 9 ? String(i + 1) : "", value]);
    return kind === "enum" ? named : [...named, ["None of these", "0", null]];
  }
  function drawCell(cell) {
    const label = cell.side === null ? "Both" : sides[cell.side];
    const name = cell.side === null ? "Both responses" : `Response ${label}`;
    const buttons = choicesOf(cell.feature).map(([said, key, value]) => {
      const button = element("button", { type: "button", "aria-pressed": "false" }, said);
      if (key) button.append(" ", element("kbd", { "aria-hidden": "true" }, key));
      button.addEventListener("click", () => choose(cell, value));
      return { button, value };
    });
    const side = element("span", { class: "side", "aria-hidden": "true" }, label);
    cell.box = element("div", { class: "cell", role: "group", "aria-label": name, tabindex: "-1" }, side, ...buttons.map((b) => b.button));
    cell.buttons = buttons;
    cell.box.addEventListener("focusin", () => {
      for (const other of rows.flat()) other.box.tabIndex = other === cell ? 0 : -1;
    });
    paint(cell);
    return cell.box;
  }
  function paint(cell) {
    const value = valueOf(cell);
    const isPressed = (one) => (Array.isArray(value) ? (one === null ? value.length === 0 : value.includes(one)) : value === one);
    for (const { button, value: one } of cell.buttons) {
      button.setAttribute("aria-pressed", String(isPressed(one)));
      if (Array.isArray(value) && value.length > 1 && value.includes(one)) button.dataset.rank = value.indexOf(one) + 1;
      else delete button.dataset.rank;
    }
    cell.box.classList.toggle("answered", value !== undefined);
  }
  function drawQuestion(row, number) {
    const { feature } = row[0];
    const id = `question-${number}`;
    const scope = element("span", { class: "scope" }, `(${feature.scope}${feature.kind === "list" ? `, at most ${feature.max_items}` : ""})`);
    const ask = element("p", { class: "ask", id }, element("strong", {}, feature.name), `${feature.instruction} `, scope);
    const cells = element("div", { class: row.length === 1 ? "cells once" : "cells" }, ...row.map(drawCell));
    return element("div", { class: "question", role: "group", "aria-labelledby": id }, ask, cells);
  }
  function show() {
    const pair = sheet.pairs[at];
    rows = cellsOf(pair);
    byId("pair-title").textContent = `Pair ${at + 1} of ${sheet.pairs.length}`;
    drawTexts(pair);
    byId("questions").replaceChildren(...rows.map(drawQuestion));
    rows[0][0].box.tabIndex = 0;
    byId("previous").disabled = at === 0;
    byId("next").disabled = at === sheet.pairs.length - 1;
    count();
  }
  function count() {
    const n = thatAre(COMPLETE).length;
    const half = thatAre(HALF).length;
    byId("progress").value = n;
    byId("done").textContent = `${n} of ${sheet.pairs.length} pairs complete${half ? `, ${half} half-labeled` : ""}`;
  }

  // Answering and moving.
  function answer(cell, value) {
    put(cell, value);
    judge(at);
    exported = false;
    paint(cell);
    keep();
    count();
    say(states[at] === COMPLETE ? `Pair ${at + 1} is complete.` : "");
  }
  function choose(cell, value) {
    if (cell.feature.kind !== "list") return answer(cell, value);
    if (value === null) return answer(cell, []);
    const chosen = new Set(valueOf(cell) ?? []); // in the order in which they were chosen
    if (!chosen.delete(value)) chosen.add(value);
    if (chosen.size > cell.feature.max_items) return say(`At most ${cell.feature.max_items} can be chosen: take one back first.`);
    return answer(cell, chosen.size ? [...chosen] : undefined);
  }
  function focus(cell) {
    cell.box.focus();
    cell.box.scrollIntoView({ block: "nearest" });
  }
  function onwards(cell) {
    const all = rows.flat();
    const from = all.indexOf(cell) + 1;
    const next = [...all.slice(from), ...all.slice(0, from)].find((one) => !isAnswered(one));
    if (next) return focus(next);
    if (states.every((state) => state === COMPLETE)) {
      say("All pairs are complete. Export your answers.");
      return byId("export").focus();
    }
    return byId(byId("next").disabled ? "unfinished" : "next").focus();
  }
  function go(to) {
    if (to < 0 || to >= sheet.pairs.length) return;
    at = to;
    show();
    keep();
    say(`Pair ${at + 1} of ${sheet.pairs.length}`);
    window.scrollTo(0, byId("pair").offsetTop);
    begin();
  }
  const begin = () => focus(rows.flat().find((cell) => !isAnswered(cell)) ?? rows[0][0]);
  function goUnfinished() {
    const order = sheet.pairs.map((_, i) => (at + 1 + i) % sheet.pairs.length);
    const to = order.find((i) => states[i] !== COMPLETE);
    if (to === undefined) say("All pairs are complete.");
    else go(to);
  }
  function move(cell, key) {
    const row = rows.findIndex((one) => one.includes(cell));
    const side = rows[row].indexOf(cell);
    if (key === "ArrowLeft" || key === "ArrowRight") return focus(rows[row][key === "ArrowLeft" ? 0 : rows[row].length - 1]);
    const to = rows[row + (key === "ArrowDown" ? 1 : -1)];
    if (to) focus(to[Math.min(side, to.length - 1)]);
  }
  function pressInCell(cell, key, event) {
    if (key.startsWith("Arrow")) return move(cell, key);
    if (key === "Enter" && event.target === cell.box) return onwards(cell);
    if (key === "Delete" || key === "Backspace") return answer(cell, undefined);
    const found = choicesOf(cell.feature).find(([, one]) => one && one === key);
    if (!found) return false;
    choose(cell, found[2]);
    if (isAnswered(cell) && (cell.feature.kind !== "list" || found[2] === null)) onwards(cell);
  }
  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const cell = rows.flat().find((one) => one.box.contains(event.target));
    const others = { "?": openHelp, j: () => go(at + 1), k: () => go(at - 1) };
    const isScrolling = !cell && key.startsWith("Arrow");
    if (isScrolling) return;
    const done = others[key] ? others[key]() : cell ? pressInCell(cell, key, event) : false;
    if (done !== false) event.preventDefault();
  }

  // The file.
  function exportAnswers() {
    const labeler = byId("labeler").value.trim();
    if (!labeler) {
      say("Write your name first: it stands in the file.");
      return byId("labeler").focus();
    }
    const done = thatAre(COMPLETE);
    const half = thatAre(HALF);
    const places = half.map((pair) => sheet.pairs.indexOf(pair) + 1).join(", ");
    const left = half.length ? ` Half-labeled and not exported: pair${half.length > 1 ? "s" : ""} ${places}.` : "";
    if (!done.length) return say(`No pair is complete yet: nothing is exported.${left}`);
    const ordered = (id) => Object.fromEntries(sheet.features.map(({ name }) => [name, answers.get(id).get(name)]));
    const file = {
      format: sheet.format, version: sheet.version, sheet: sheet.sheet, labeler,
      features: sheet.features.map((feature) => feature.name),
      half_labeled: half.map((pair) => pair.id),
      texts: done.flatMap((pair) => pair.texts.map(({ id }) => ({ id, answers: ordered(id) }))),
    };
    const url = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1), "\n"], { type: "application/json" }));
    const name = labeler.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "labeler";
    element("a", { href: url, download: `answers-${name}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    exported = !half.length;
    say(`${done.length} complete pair${done.length > 1 ? "s are" : " is"} in the file.${left}`);
  }
  function forget() {
    if (!window.confirm("Forget every answer on this page?")) return;
    answers.clear();
    states.fill(NOTHING);
    byId("labeler").value = "";
    exported = true;
    go(0);
    say("Everything is forgotten.");
  }
  function openHelp() {
    byId("help").showModal();
  }

  restore();
  show();
  keep();
  document.querySelector("main").addEventListener("keydown", press);
  byId("labeler").addEventListener("input", keep);
  byId("labeler").addEventListener("keydown", (event) => event.key === "Enter" && begin());
  byId("previous").addEventListener("click", () => go(at - 1));
  byId("next").addEventListener("click", () => go(at + 1));
  byId("unfinished").addEventListener("click", goUnfinished);
  byId("export").addEventListener("click", exportAnswers);
  byId("help-open").addEventListener("click", openHelp);
  byId("help-close").addEventListener("click", () => byId("help").close());
  byId("forget").addEventListener("click", forget);
  window.addEventListener("storage", (event) => {
    if (event.key !== place) return;
    restore(); // another tab has the same page
    show();
  });
  window.addEventListener("beforeunload", (event) => {
    if (!kept && !exported) event.preventDefault();
  });
})();
