// The AWS SDK for JavaScript has a class for each exception of the API. Prints "OK"
// if it throws them for answers of the server in AWS_ENDPOINT_URL_XRAY.
const assert = require("node:assert");
const x = require("@aws-sdk/client-xray");

const client = new x.XRayClient({ endpoint: process.env.AWS_ENDPOINT_URL_XRAY, region: "us-east-1", credentials: { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "secret" }, maxAttempts: 1 });
const refuses = (command, type, message) => assert.rejects(client.send(command), (e) => e instanceof type && message.test(e.message) && e.$metadata.httpStatusCode >= 400 && !!e.$metadata.requestId);

(async () => {
  await refuses(new x.BatchGetTracesCommand({ TraceIds: ["nonsense"] }), x.InvalidRequestException, /incorrect id format/);
  await refuses(new x.ListTagsForResourceCommand({ ResourceARN: "arn:aws:xray:us-east-1:000000000000:group/none/X" }), x.ResourceNotFoundException, /./);
  await refuses(new x.PutResourcePolicyCommand({ PolicyName: "p", PolicyDocument: "no document" }), x.MalformedPolicyDocumentException, /./);
  const rule = (n) => ({ RuleName: `r${n}`, Priority: 1, FixedRate: 0, ReservoirSize: 0, ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", ResourceARN: "*", Version: 1 });
  for (let n = 0; n < 25; n++) await client.send(new x.CreateSamplingRuleCommand({ SamplingRule: rule(n) }));
  await refuses(new x.CreateSamplingRuleCommand({ SamplingRule: rule(25) }), x.RuleLimitExceededException, /limit exceeded/);
  const now = new Date();
  const graph = await client.send(new x.GetServiceGraphCommand({ StartTime: new Date(now - 60000), EndTime: now }));
  assert.deepStrictEqual(graph.Services, []);
  console.log("OK");
})().catch((e) => { console.error(e); process.exit(1); });
