// Signs in to the console in Chromium: setup link, password, passkey of a virtual
// authenticator, a viewer's limited pages, identity provider. Arguments: the server's
// address by name, the setup token, the browser, the address of the identity provider's
// server. Prints one line a step and exits with 0, or prints the error. Run by
// login_test.go.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [base, token, executablePath, withProvider] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath, args });
const password = 'correct horse battery';
const complaints = [];
const step = (text) => console.log(text);
const id = (name) => `[data-testid="${name}"]`;

async function open(address) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on('console', (m) => {
    // Chromium reports each answer of 400 or more; they are expected here.
    if (m.type() === 'error' && !m.text().includes('Failed to load resource')) complaints.push(m.text());
  });
  page.on('pageerror', (e) => complaints.push(e.message));
  await page.goto(address);
  return page;
}

async function accessible(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await axe.run(document, { runOnly: ['wcag2a', 'wcag2aa'] })).violations);
  assert.deepEqual(found.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`), [], `accessibility of ${where}`);
}

async function signIn(page, user, secret) {
  await page.waitForSelector(id('login-form'));
  await page.fill(`${id('login-form')} input[autocomplete=username]`, user);
  await page.fill(`${id('login-form')} input[type=password]`, secret);
  await page.click(`${id('login-form')} button[type=submit]`);
}

async function menu(page, item) {
  await page.click(`${id('user-menu')} button`);
  await page.getByRole('menuitem', { name: item }).click();
}

async function gone(page, selector) {
  await page.waitForFunction((s) => !document.querySelector(s), selector);
}

try {
  // The first administrator.
  let page = await open(`${base}/#/setup?token=${token}`);
  await page.waitForSelector(id('setup-form'));
  await accessible(page, 'the setup page');
  await page.fill(`${id('setup-form')} input[autocomplete=username]`, 'boss');
  for (const field of await page.$$(`${id('setup-form')} input[type=password]`)) await field.fill(password);
  await page.click(`${id('setup-form')} button[type=submit]`);
  await page.waitForSelector(id('user-menu'));
  assert.ok(!page.url().includes('token'), `the token stays in the address: ${page.url()}`);
  step('the setup link made an administrator');

  // The cookie is out of reach of scripts.
  const cookie = (await page.context().cookies()).find((c) => c.name === 'fluoro-session');
  assert.equal(`${cookie.httpOnly} ${cookie.sameSite}`, 'true Strict');
  assert.equal(await page.evaluate(() => document.cookie), '');

  // A passkey, and a login with it.
  await menu(page, 'My account and sessions');
  await page.waitForSelector(id('account-page'));
  await accessible(page, 'the account page');
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  await cdp.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true } });
  await page.click(id('passkey-add'));
  await page.waitForSelector(`${id('passkeys')} li`);
  await menu(page, 'Sign out');
  await page.waitForSelector(id('login-form'));
  await accessible(page, 'the login page');
  await page.click(id('login-passkey'));
  await page.waitForSelector(id('user-menu'));
  step('signed in with a passkey');

  // A user with few rights, made on the page Access.
  await page.goto(`${base}/#/access`);
  await page.getByRole('button', { name: 'Create a user' }).click();
  await page.getByLabel('Name', { exact: true }).fill('eve');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByRole('button', { name: 'eve' }).click();
  await page.waitForSelector(id('principal'));
  await page.getByLabel('Attach a policy').selectOption({ value: 'arn:aws:iam::aws:policy/AWSXrayReadOnlyAccess' });
  await page.getByRole('button', { name: 'Attach', exact: true }).click();
  await page.getByRole('button', { name: 'Detach AWSXrayReadOnlyAccess' }).waitFor();
  await page.fill(`${id('principal')} input[type=password]`, password);
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.getByText('The password is set.').waitFor();
  await accessible(page, 'the page of access');
  await page.goto(`${base}/#/access?part=keys`);
  await page.getByRole('button', { name: 'Create an access key' }).click();
  await page.getByRole('textbox', { name: 'User' }).fill('eve');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await page.waitForSelector(id('secret'));
  assert.match(await page.textContent(id('secret')), /AKIA/);
  await page.getByRole('button', { name: 'I have copied it' }).click();
  for (const part of ['groups', 'roles', 'policies', 'tokens']) {
    await page.goto(`${base}/#/access?part=${part}`);
    await page.waitForSelector('h2');
    await accessible(page, `the part ${part}`);
  }
  await page.goto(`${base}/#/findings`);
  await page.waitForSelector(id('no-findings'));
  await accessible(page, 'the page of findings');
  step('made a user and a key');

  // 360 pixels wide.
  await page.setViewportSize({ width: 360, height: 740 });
  for (const path of ['access', 'findings', 'account']) {
    await page.goto(`${base}/#/${path}`);
    await page.waitForSelector(id(`${path}-page`));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    const culprits = await page.evaluate(() => [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > 361 && !e.closest(".fl-table-wrap table")).map((e) => e.tagName + "." + e.className).slice(0, 12));
    assert.ok(wide <= 360, `${path} is ${wide} pixels wide: ${culprits}`);
  }

  // A wrong password, then the right one; the page of the address comes after the login.
  const eve = await open(`${base}/#/traces`);
  await signIn(eve, 'eve', 'wrong horse battery');
  await eve.getByText('The name or the credential is wrong.').waitFor();
  await signIn(eve, 'eve', password);
  await eve.waitForSelector(id('user-menu'));
  assert.match(eve.url(), /#\/traces/);
  for (const text of ['Access', 'Status', 'Findings']) assert.equal(await eve.getByRole('link', { name: text, exact: true }).count(), 0, `eve sees a link to ${text}`);
  for (const path of ['access', 'status', 'findings']) {
    await eve.goto(`${base}/#/${path}`);
    await eve.waitForSelector(id('page-refused'));
  }
  step('a viewer sees only what a viewer may');

  // Somebody else ends the session: the next answer shows the login page.
  await page.goto(`${base}/#/account`);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.getByLabel('Sessions of everyone in this account').check();
  await page.getByRole('button', { name: /End the session of eve/ }).click();
  await gone(page, '[aria-label^="End the session of eve"]');
  await eve.goto(`${base}/#/traces`);
  await eve.reload();
  await eve.waitForSelector(id('login-form'));
  step('an ended session leads to the login page');

  // A page of another origin: no frame, no request with the cookie.
  const evil = await page.context().newPage();
  await evil.route('http://evil.test/', (route) => route.fulfill({ contentType: 'text/html', body: `<iframe src="${base}/"></iframe><form method="post" action="${base}/console/api/logout" enctype="text/plain"><input name="x"></form>` }));
  await evil.goto('http://evil.test/');
  await evil.waitForTimeout(500);
  const frame = evil.frames().find((f) => f !== evil.mainFrame());
  assert.equal(await frame.locator(id('login-page')).count() + await frame.locator('#root').count(), 0, 'the console is in a frame');
  await evil.evaluate(() => document.forms[0].submit());
  await evil.waitForLoadState();
  await page.reload();
  await page.waitForSelector(id('account-page'));
  step('another origin can neither frame the console nor use its cookie');

  if (withProvider) {
    const sso = await open(`${withProvider}/#/traces`);
    await sso.click(id('login-oidc'));
    await sso.waitForSelector(id('user-menu'));
    assert.match(sso.url(), /#\/traces/);
    step('signed in through the identity provider');
  }
  assert.deepEqual(complaints.filter((c) => !c.includes('frame')), [], 'errors in the console of the browser');
  await browser.close();
} catch (error) {
  console.error(error);
  console.error(complaints.join('\n'));
  for (const context of browser.contexts()) {
    for (const page of context.pages()) console.error(page.url(), (await page.textContent('body').catch(() => '')).slice(0, 800));
  }
  await browser.close();
  process.exit(1);
}
