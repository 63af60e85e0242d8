// Opens pages in a real browser and says what happened, as JSON on stdout.
//   node look.mjs CHROMIUM '[{"file": "/a.html", "width": 375, "scheme": "dark", "axe": true, "pdf": null}, ...]'
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

// The shape of the page: tags without what stands in dialogues, without drawings and chances to break a line.
function shape() {
  const skip = (e) => e.matches("wbr, svg, .hidden-character");
  const walk = (e) =>
    e.matches(".dialogue") ? "dialogue" : `${e.localName}(${[...e.children].filter((c) => !skip(c)).map(walk).join()})`;
  return walk(document.documentElement);
}

function state() {
  return {
    pwned: "pwned" in window,
    payload_elements: document.querySelectorAll("[data-payload]").length,
    elements_in_dialogues: document.querySelectorAll(".dialogue *:not(.hidden-character)").length,
    dialogues: document.querySelectorAll(".dialogue").length,
    scripts: document.querySelectorAll("script, iframe, object, embed, link, img, form, base").length,
    handlers: [...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => /^on/i.test(a.name))).length,
    page_scrolls_sideways: document.documentElement.scrollWidth > window.innerWidth,
    clipped: [...document.querySelectorAll(".scroll")].filter((e) => e.tabIndex !== 0).length,
    visible: getComputedStyle(document.body).display !== "none",
    ground: getComputedStyle(document.body).backgroundColor,
    title: document.title,
  };
}

async function look(browser, { file, width, scheme, axe, pdf }) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  const url = pathToFileURL(file).href;
  const seen = { console: [], requests: [], dialogs: [] };
  page.on("console", (m) => seen.console.push(m.text()));
  page.on("pageerror", (e) => seen.console.push(String(e)));
  page.on("request", (r) => r.url() !== url && seen.requests.push(r.url()));
  page.on("dialog", (d) => (seen.dialogs.push(d.message()), d.dismiss()));
  await page.goto(url);
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement.getAttribute("href"));
  if (pdf) await page.pdf({ path: pdf, preferCSSPageSize: true });
  const hidden_on_paper = await onPaper(page);
  await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
  for (const one of (await page.locator(".dialogue").all()).slice(0, 20)) await one.click();
  await page.waitForTimeout(500); // what was to come alive has had its time
  const found = { ...(await page.evaluate(state)), shape: await page.evaluate(shape), first, hidden_on_paper };
  found.moved = page.url() !== url;
  found.violations = [];
  if (axe) {
    await page.evaluate(AXE);
    const result = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules }), RULES);
    found.violations = result.violations.map((v) => `${v.id}: ${v.nodes.length}, ${v.nodes[0].html.slice(0, 160)}`);
    found.passes = result.passes.length;
  }
  await context.close();
  return { file, width, scheme, ...seen, ...found };
}

// Tables that would not be printed, or would be cut at the edge of the paper.
async function onPaper(page) {
  const before = page.viewportSize();
  await page.emulateMedia({ media: "print" });
  await page.setViewportSize({ width: 703, height: 1000 }); // A4 less its margins, in CSS pixels
  const lost = await page.evaluate(() =>
    [...document.querySelectorAll("table")]
      .filter((t) => !t.checkVisibility({ contentVisibilityAuto: true }) || t.getBoundingClientRect().right > window.innerWidth + 1)
      .map((t) => t.id),
  );
  await page.emulateMedia({ media: null });
  await page.setViewportSize(before);
  return lost;
}

const [, , executablePath, asked] = process.argv;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const answers = [];
for (const one of JSON.parse(asked)) answers.push(await look(browser, one));
await browser.close();
console.log(JSON.stringify(answers));
