// The AWS SDK for JavaScript with right and wrong credentials, and with a wrong clock, which
// it repairs by the Date of the refusal. Prints "OK".
const assert = require("node:assert");
const x = require("@aws-sdk/client-xray");

const client = (more) => new x.XRayClient({ endpoint: process.env.AWS_ENDPOINT_URL_XRAY, region: "us-east-1", credentials: { accessKeyId: "AKIAGOODGOODGOODGOOD", secretAccessKey: process.env.FLUORO_SECRET }, maxAttempts: 1, ...more });
const refuses = (c, name, message) => assert.rejects(c.send(new x.GetGroupsCommand({})), (e) => e.name === name && message.test(e.message) && e.$metadata.httpStatusCode === 403);

(async () => {
  assert.strictEqual((await client().send(new x.GetGroupsCommand({}))).Groups[0].GroupName, "Default");
  await refuses(client({ credentials: { accessKeyId: "AKIAGOODGOODGOODGOOD", secretAccessKey: "wrong" } }), "InvalidSignatureException", /does not match the signature you provided/);
  await refuses(client({ credentials: { accessKeyId: "AKIANOBODYNOBODYNOBO", secretAccessKey: "x" } }), "UnrecognizedClientException", /is invalid\.$/);
  await refuses(client({ credentials: { accessKeyId: "AKIAGOODGOODGOODGOOD", secretAccessKey: "x", sessionToken: "y" } }), "UnrecognizedClientException", /is invalid\.$/);
  await refuses(client({ systemClockOffset: -3600_000 }), "InvalidSignatureException", /^Signature expired: /);
  await refuses(client({ systemClockOffset: 3600_000 }), "InvalidSignatureException", /^Signature not yet current: /);
  const now = Date.now;
  for (const wrong of [-3600_000, 3600_000]) {
    Date.now = () => now() + wrong;
    const repaired = client({ maxAttempts: 2 });
    assert.strictEqual((await repaired.send(new x.GetGroupsCommand({}))).$metadata.attempts, 2);
    assert.strictEqual((await repaired.send(new x.GetGroupsCommand({}))).$metadata.attempts, 1);
  }
  console.log("OK");
})().catch((e) => { console.error(e); process.exit(1); });
