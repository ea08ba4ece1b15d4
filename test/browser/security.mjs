// Walks through the pages of the group Security in Chromium: a scrub rule is made, previewed
// and used, the audit log shows who read a trace, and the tenant shows its state.
// Arguments: the server's address, the browser. Run by walk_test.go.
import assert from 'node:assert/strict';
import { id, open, step } from './console.mjs';

const [base, executablePath] = process.argv.slice(2);
const { browser, page, complaints, see, accessible } = await open(base, executablePath);

const hex = (n, length) => n.toString(16).padStart(length, '0');
const now = Math.floor(Date.now() / 1000);
const trace = (n) => `1-${hex(now, 8)}-${hex(n, 24)}`;

async function send(n) {
  const document = { trace_id: trace(n), id: hex(n, 16), name: 'checkout', start_time: now, end_time: now + 0.5, annotations: { mail: 'ada@shop.test' } };
  const res = await fetch(`${base}/TraceSegments`, { method: 'POST', body: JSON.stringify({ TraceSegmentDocuments: [JSON.stringify(document)] }) });
  assert.deepEqual((await res.json()).UnprocessedTraceSegments, []);
}

async function stored(n) {
  const res = await fetch(`${base}/Traces`, { method: 'POST', body: JSON.stringify({ TraceIds: [trace(n)] }) });
  return JSON.stringify(await res.json());
}

const dialog = 'dialog[open]';
const press = (name, where = page) => where.getByRole('button', { name, exact: true }).click();

// On a phone nothing may be wider than the screen.
async function narrow(path, name, whole) {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(`${base}/#${path}`);
  await see(name);
  const [wide, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= shown, `${path} is ${wide} px wide on a screen of ${shown} px`);
  // The frame of the component library breaks a rule of its own on phones: only the page is checked.
  await accessible(`${path} on a phone`, id(whole));
  await page.setViewportSize({ width: 1280, height: 800 });
}

try {
  await send(1);
  await page.goto(`${base}/#/service-map`);
  await page.click('nav a:has-text("Scrubbing")');
  await see('scrub-rule');
  await accessible('the scrub rules');
  await press('New rule');
  await page.getByLabel('Name', { exact: true }).fill('mails');
  await page.getByLabel('email', { exact: true }).check();
  await press('Preview on the last hour', page.locator(dialog));
  await page.waitForSelector(`${dialog} ${id('scrub-preview')} th:has-text("annotations.mail")`);
  const preview = await page.textContent(`${dialog} ${id('scrub-preview')}`);
  assert.ok(!preview.includes('ada') && preview.includes('aaa@aaaa.aaaa'), `the preview shows ${preview}`);
  await accessible('the form of a rule');
  await page.getByLabel('Pattern', { exact: true }).fill('(');
  await press('Save', page.locator(dialog));
  await page.waitForSelector(`${dialog} :text("Pattern of rule mails")`);
  await page.getByLabel('Pattern', { exact: true }).fill('');
  await press('Save', page.locator(dialog));
  await page.waitForSelector(`${id('scrub-rule')}:has-text("mails")`);
  await page.keyboard.press('Escape');
  step('scrubbing: a rule with a preview; a wrong pattern says so');

  await page.getByLabel('Text', { exact: true }).fill('write to ada@shop.test');
  await press('Test');
  await page.waitForSelector(`${id('scrub-tested')}:has-text("write to ***")`);
  await page.getByLabel('Dry run: count only', { exact: true }).uncheck();
  await press('Rewrite stored traces');
  await page.waitForSelector(dialog);
  await accessible('the question before a job');
  await press('Rewrite', page.locator(dialog));
  await page.waitForSelector(`${id('scrub-job')}:has-text("Done")`);
  assert.ok(!(await stored(1)).includes('ada@shop.test'), 'the job left the address in the stored trace');
  step(`scrubbing: ${(await page.textContent(id('scrub-job'))).trim().slice(0, 120)}`);

  await page.goto(`${base}/#/traces/${trace(1)}`);
  await see('waterfall-row');
  await page.goto(`${base}/#/audit?trace=${trace(1)}`);
  await see('audit-row');
  await accessible('the audit log');
  await page.click(`${id('audit-row')} button:has-text("BatchGetTraces")`);
  await see('audit-record');
  await accessible('an audit record');
  await page.click(`${id('audit-record')} a:has-text("${trace(1)}")`);
  await see('waterfall-row');
  await page.goto(`${base}/#/audit`);
  await see('audit-row');
  await page.getByLabel('Action', { exact: true }).fill('fluoro:PutScrubRule');
  await page.keyboard.press('Enter');
  await page.waitForFunction((row) => { const rows = [...document.querySelectorAll(row)]; return rows.length > 0 && rows.every((r) => /PutScrubRule/.test(r.textContent)); }, id('audit-row'));
  assert.match(page.url(), /action=/);
  step('audit: who read the trace, who changed a rule');

  await page.click('nav a:has-text("Tenant")');
  await page.waitForSelector(`${id('encryption')}:has-text("is encrypted")`);
  await page.getByLabel('Name of a new sink', { exact: true }).fill('central');
  await press('Make a sink');
  await press('Who may link to central');
  await page.getByLabel('Accounts', { exact: true }).fill('222233334444');
  await press('Save', page.locator(dialog));
  await page.waitForSelector(dialog, { state: 'detached' });
  await page.getByLabel('Key', { exact: true }).selectOption('KMS');
  await page.getByLabel('Alias, id or ARN', { exact: true }).fill('alias/none');
  await press('Change the key');
  await press('Change', page.locator(dialog));
  await page.waitForSelector(`${dialog} :text("InvalidRequestException")`);
  await page.keyboard.press('Escape');
  await page.waitForSelector(dialog, { state: 'detached' });
  await press('Make a report');
  await see('compliance');
  const [file] = await Promise.all([page.waitForEvent('download'), press('Download JSON (signed)')]);
  assert.match(file.suggestedFilename(), /^compliance-\d{12}\.json$/);
  await accessible('the tenant');
  await press('Delete sink central');
  await press('Delete', page.locator(dialog));
  await page.waitForSelector('button[aria-label="Delete sink central"]', { state: 'detached' });
  step('tenant: keys, a sink, a refused key, a compliance report');

  await narrow('/audit', 'audit-row', 'audit-page');
  await narrow('/scrubbing', 'scrub-rule', 'scrubbing-page');
  await narrow('/tenant', 'links', 'tenant-page');
  step('phone: nothing is wider than the screen');

  assert.deepEqual(complaints.filter((c) => !/status of 40[04]/.test(c)), []);
} catch (err) {
  console.error(err, complaints, page.url());
  await page.screenshot({ path: process.env.WALK_SCREENSHOT || 'walk-failed.png' }).catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}
