// Opens the console in Chromium for the walks, and collects what a user must never meet.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const id = (name) => `[data-testid="${name}"]`;
export const step = (text) => console.log(text);

// Starts the browser. complaints are errors of the page and requests to other hosts.
export async function open(base, executablePath) {
  const browser = await chromium.launch({ executablePath, args });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  page.setDefaultTimeout(15_000);
  const complaints = [];
  page.on('console', (m) => { if (m.type() === 'error') complaints.push(m.text()); });
  page.on('pageerror', (e) => complaints.push(e.message));
  page.on('request', (r) => {
    const url = r.url();
    if (!url.startsWith(base) && !url.startsWith('data:') && !url.startsWith('blob:')) complaints.push(`request left the host: ${url}`);
  });
  const see = (name) => page.waitForSelector(id(name));
  // Checks the whole document, or the part that a selector names.
  async function accessible(where, part = null) {
    await page.evaluate(axe);
    const found = await page.evaluate(async (selector) => (await axe.run(selector ?? document, { runOnly: ['wcag2a', 'wcag2aa'] })).violations, part);
    assert.deepEqual(found.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`), [], `accessibility of ${where}`);
  }
  return { browser, page, complaints, see, accessible };
}
