// Works the page of `seal gold sheet` in a real browser and says what was seen, as JSON on stdout.
//   node label.mjs CHROMIUM '{"file": "/sheet.html", "width": 1100, "scheme": "light", "storage": true, "steps": [...]}'
// A step is a list: its name, then its words. What a step saw goes into `seen`, in order.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

function state() {
  const focused = document.activeElement;
  const cell = focused.closest(".cell");
  const question = focused.closest(".question");
  const outline = getComputedStyle(focused);
  return {
    title: document.querySelector("#pair-title").textContent,
    status: document.querySelector("#status").textContent,
    done: document.querySelector("#done").textContent,
    progress: document.querySelector("progress").value,
    labeler: document.querySelector("#labeler").value,
    warned: document.querySelector("#storage").checkVisibility(),
    help: document.querySelector("#help").open,
    focused: cell ? `${question.querySelector("strong").textContent} ${cell.getAttribute("aria-label")}` : focused.id || focused.localName,
    outlined: outline.outlineStyle !== "none" && parseFloat(outline.outlineWidth) >= 2,
    covered: cell ? !cell.contains(document.elementFromPoint(...middle(cell))) : false,
    pressed: [...document.querySelectorAll('[aria-pressed="true"]')].map((b) => b.firstChild.textContent),
    conversation: [...document.querySelectorAll(".text.conversation")].map((e) => e.textContent),
    responses: [...document.querySelectorAll(".text.response")].map((e) => e.textContent),
    page_scrolls_sideways: document.documentElement.scrollWidth > window.innerWidth,
  };
  function middle(box) {
    const { left, top, width, height } = box.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  }
}

function alive() {
  return {
    pwned: "pwned" in window,
    payload_elements: document.querySelectorAll("[data-payload]").length,
    elements_in_texts: document.querySelectorAll(".text *:not(.hidden-character)").length,
    texts: document.querySelectorAll(".text").length,
    loaders: document.querySelectorAll("iframe, object, embed, link, img, form, base").length,
    scripts: document.querySelectorAll("script").length,
    handlers: [...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => /^on/i.test(a.name))).length,
    visible: getComputedStyle(document.body).display !== "none",
  };
}

// Every question of every pair, by the rule of tests/support/gold.py: what the length of a response says.
async function labelAll(page) {
  const sheet = JSON.parse(await page.locator("#sheet").textContent());
  const length = (pieces) => [...pieces.flat().join("")].length;
  for (const pair of sheet.pairs) {
    for (const feature of sheet.features) {
      const once = feature.once && pair.conversation;
      for (const text of once ? pair.texts.slice(0, 1) : pair.texts) {
        const n = length(text.response);
        if (feature.kind === "boolean") await page.keyboard.press(feature.once || n % 2 === 0 ? "y" : "n");
        else if (feature.kind === "enum") await page.keyboard.press(String((n % feature.values.length) + 1));
        else {
          const chosen = feature.values.map((_, i) => i).filter((i) => Math.floor(n / 2 ** i) % 2).slice(0, feature.max_items);
          for (const i of chosen) {
            if (i < 9) await page.keyboard.press(String(i + 1));
            else await page.evaluate((i) => document.activeElement.querySelectorAll("button")[i].click(), i);
          }
          await page.keyboard.press(chosen.length ? "Enter" : "0");
        }
      }
    }
    await page.keyboard.press("Enter"); // the focus is on the button for the next pair, or to export
  }
}

// Pairs from one place to another (from 0, the end left out), as a file says: {id of a text: {feature: answer}}.
// The page must stand on the first of them, at its first question, with no answer in any.
async function answer(page, path, from, to) {
  const sheet = JSON.parse(await page.locator("#sheet").textContent());
  const answers = JSON.parse(readFileSync(path, "utf8"));
  for (const pair of sheet.pairs.slice(from, to)) {
    for (const feature of sheet.features) {
      for (const text of feature.once && pair.conversation ? pair.texts.slice(0, 1) : pair.texts) {
        const said = answers[text.id][feature.name];
        await page.keyboard.press(feature.kind === "boolean" ? (said ? "y" : "n") : String(feature.values.indexOf(said) + 1));
      }
    }
    await page.keyboard.press("Enter"); // the focus is on the button for the next pair, or to export
  }
}

const steps = {
  answer: answer,
  fill: (page, place, text) => page.fill(place, text),
  keys: async (page, keys) => { for (const key of keys.split(" ")) await page.keyboard.press(key); },
  click: (page, place) => page.locator(place).first().click(),
  button: (page, cell, name) => page.locator(".cell").nth(cell).getByRole("button", { name, exact: true }).click(),
  reload: (page) => page.reload(),
  shot: (page, path) => page.screenshot({ path }),
  top: (page) => page.evaluate(() => window.scrollTo(0, 0)),
  label: (page) => labelAll(page),
  store: (page, text) => page.evaluate((text) => { for (const key of Object.keys(localStorage)) localStorage.setItem(key, text); }, text),
  state: (page) => page.evaluate(state),
  alive: async (page) => { await page.waitForTimeout(300); return page.evaluate(alive); },
  export: async (page, path) => {
    const coming = page.waitForEvent("download", { timeout: 4000 }).catch(() => null);
    await page.click("#export");
    const found = await coming;
    if (found) await found.saveAs(path);
    return found ? found.suggestedFilename() : null;
  },
  axe: async (page) => {
    // Evaluated by the driver's own channel, which the page's policy does not bind.
    await page.evaluate(AXE);
    const result = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules }), RULES);
    const violations = result.violations.map((v) => `${v.id}: ${v.nodes.length}, ${v.nodes[0].html.slice(0, 160)}`);
    return { violations, passes: result.passes.length };
  },
};

async function work(browser, { file, width, scheme, storage, steps: wanted }) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, acceptDownloads: true });
  const page = await context.newPage();
  if (!storage) await page.addInitScript(() => Object.defineProperty(window, "localStorage", { get() { throw new DOMException("none", "SecurityError"); } }));
  const url = pathToFileURL(file).href;
  const found = { console: [], requests: [], dialogs: [], seen: [] };
  page.on("console", (m) => found.console.push(m.text()));
  page.on("pageerror", (e) => found.console.push(String(e)));
  page.on("request", (r) => r.url() !== url && !r.url().startsWith("blob:") && found.requests.push(r.url()));
  page.on("dialog", (d) => (found.dialogs.push(`${d.type()}: ${d.message()}`), d.accept()));
  await page.goto(url);
  for (const [name, ...words] of wanted) {
    const seen = await steps[name](page, ...words);
    if (["state", "alive", "export", "axe"].includes(name)) found.seen.push(seen);
  }
  found.moved = page.url().split("#")[0] !== url;
  await context.close();
  return found;
}

const [, , executablePath, asked] = process.argv;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const answers = [];
for (const one of JSON.parse(asked)) answers.push(await work(browser, one));
await browser.close();
console.log(JSON.stringify(answers));
