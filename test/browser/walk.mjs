// Walks through the console in Chromium as a user who looks for a slow call.
// Arguments: the server's address, the browser. Prints one line per step and exits
// with 0, or prints the error. Run by walk_test.go.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { id, open, step } from './console.mjs';

const [base, executablePath] = process.argv.slice(2);
const { browser, page, complaints, see, accessible } = await open(base, executablePath);

let count = 0;
const hex = (n, length) => n.toString(16).padStart(length, '0');

// A shop: storefront calls orders, whose database is slow and sometimes fails.
function shop(failing) {
  const now = Date.now() / 1000 - 1;
  const trace_id = `1-${hex(Math.floor(now), 8)}-${hex(++count, 24)}`;
  const ids = Array.from({ length: 4 }, (_, i) => hex(count * 16 + i + 1, 16));
  const fault = failing || undefined;
  const status = failing ? 500 : 200;
  const cause = failing && { working_directory: '/srv', paths: [], exceptions: [{ id: hex(count * 16 + 9, 16), type: 'TimeoutError', message: 'too slow', stack: [{ path: 'db.py', line: 7, label: 'query' }] }] };
  return [
    { trace_id, id: ids[0], name: 'storefront', start_time: now, end_time: now + 0.9, fault, user: 'ada', annotations: { cart: count },
      http: { request: { method: 'GET', url: 'http://shop.test/cart' }, response: { status } },
      subsegments: [{ id: ids[1], name: 'orders', namespace: 'remote', start_time: now + 0.1, end_time: now + 0.8, fault, http: { request: { method: 'GET', url: 'http://orders/list' }, response: { status } } }] },
    { trace_id, id: ids[2], parent_id: ids[1], name: 'orders', start_time: now + 0.12, end_time: now + 0.78, fault, metadata: { default: { attempt: 1 } },
      subsegments: [{ id: ids[3], name: 'orders@db.internal', namespace: 'remote', start_time: now + 0.2, end_time: now + 0.7, fault, cause, sql: { sanitized_query: 'select * from orders', database_type: 'PostgreSQL' } }] },
  ];
}

async function put(documents) {
  const res = await fetch(`${base}/TraceSegments`, { method: 'POST', body: JSON.stringify({ TraceSegmentDocuments: documents.map((d) => JSON.stringify(d)) }) });
  assert.deepEqual((await res.json()).UnprocessedTraceSegments, []);
}

function sendBadDatagram() {
  const [host, port] = new URL(base).host.split(':');
  const socket = dgram.createSocket('udp4');
  return new Promise((done) => socket.send('{"format":"json","version":1}\n{"name":"x","id":"bad"}', Number(port), host, () => { socket.close(); done(); }));
}

try {
  await page.goto(`${base}/`);
  await see('first-run');
  const text = await page.textContent('body');
  for (const way of ['AWS_XRAY_DAEMON_ADDRESS', 'OTEL_EXPORTER_OTLP_ENDPOINT']) assert.ok(text.includes(way), `the first-run page does not show ${way}`);
  await accessible('the first-run page');
  await sendBadDatagram();
  await see('last-refused');
  step(`first run: ${(await page.textContent(id('last-refused'))).trim().slice(0, 160)}`);

  let began = Date.now();
  await put(shop(false));
  await see('map-node-storefront');
  const live = Date.now() - began;
  assert.ok(live < 2000, `the first trace was on the map after ${live} ms`);
  step(`the first trace was on the map after ${live} ms, without reload`);

  for (let i = 0; i < 40; i++) await put(shop(i % 4 === 0));
  await page.goto(`${base}/#/service-map`);
  for (const node of ['storefront', 'orders', 'orders@db.internal']) await see(`map-node-${node}`);
  await accessible('the map');
  await page.click(id('map-node-orders'));
  await see('node-panel');
  await page.waitForFunction(() => /p95|95/.test(document.querySelector('[data-testid="node-panel"]').textContent));
  step('map: node and its panel');

  await page.click(id('view-traces'));
  await see('trace-row');
  const filter = await page.inputValue(id('filter-input'));
  assert.match(filter, /service\(/);
  assert.ok(decodeURIComponent(page.url()).includes('service('), `the filter is not in the URL: ${page.url()}`);
  await page.reload();
  await see('trace-row');
  assert.equal(await page.inputValue(id('filter-input')), filter, 'the URL is the state');
  await page.fill(id('filter-input'), 'fault = true AND annotation.cart > 0');
  await page.keyboard.press('Enter');
  await page.waitForFunction((row) => document.querySelectorAll(row).length === 10, id('trace-row'));
  await accessible('the trace list');
  step('traces: filter box, state in the URL, 10 faulty of 41');

  await page.fill(id('filter-input'), 'responsetime >');
  await page.keyboard.press('Enter');
  await see('filter-error');
  await page.fill(id('filter-input'), 'fault = true');
  await page.keyboard.press('Enter');
  await see('trace-row');
  step('traces: a wrong filter says so');

  await page.click(`${id('trace-row')} a`);
  await see('waterfall-row');
  await page.click(`${id('waterfall-row')}:has-text("orders@db.internal")`);
  await see('segment-drawer');
  assert.match(page.url(), /segment=/);
  for (const [tab, words] of [['Exceptions', /TimeoutError.*too slow/s], ['SQL', /select \* from orders/], ['Raw', /sanitized_query/]]) {
    await page.click(`${id('segment-drawer')} [role=tab]:has-text("${tab}")`);
    await page.waitForFunction(([where, source]) => new RegExp(source, 's').test(document.querySelector(where).textContent), [id('segment-drawer'), words.source]);
  }
  await accessible('the trace page');
  step('trace: waterfall, segment, exceptions, SQL, raw document');
  await page.keyboard.press('Escape');
  await page.click('[role=tab]:has-text("Raw data")');
  await see('raw-json');
  step('trace: raw JSON');

  await page.goto(`${base}/#/traces`);
  await see('trace-row');
  const fresh = shop(false);
  began = Date.now();
  await put(fresh);
  await page.waitForSelector(`[data-trace-id="${fresh[0].trace_id}"]`);
  const shown = Date.now() - began;
  assert.ok(shown < 2000, `a new trace was in the list after ${shown} ms`);
  step(`live: a new trace was in the list after ${shown} ms`);

  await page.goto(`${base}/#/status`);
  await see('status-page');
  await accessible('the status page');
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.goto(`${base}/#/service-map`);
  await see('map-node-storefront');
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number));
  assert.ok(dark.every((c) => c < 80), `the dark page is ${dark}`);
  await accessible('the dark map');
  step('dark');

  assert.deepEqual(complaints.filter((c) => !/status of 400/.test(c)), []);
} catch (err) {
  console.error(err, complaints, page.url());
  await page.screenshot({ path: process.env.WALK_SCREENSHOT || 'walk-failed.png' }).catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}
