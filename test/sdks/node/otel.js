// A service with the OpenTelemetry SDK for Node.js and its instrumentation of HTTP,
// configured only by the usual variables: OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_*.
// Prints its port. Every request calls DOWNSTREAM_URL, reads a cache and publishes
// a message; the answer is the trace id.
const { NodeSDK } = require('@opentelemetry/sdk-node');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const sdk = new NodeSDK({ instrumentations: [new HttpInstrumentation()] });
sdk.start();

const http = require('node:http');
const { SpanKind, trace } = require('@opentelemetry/api');
const tracer = trace.getTracer('cart');

const server = http.createServer((req, res) => {
  for (const command of ['HGETALL', 'EXPIRE']) {
    tracer.startActiveSpan(command, { kind: SpanKind.CLIENT, attributes: { 'db.system.name': 'redis', 'db.operation.name': command, 'network.peer.address': '127.0.0.1' } }, (span) => span.end());
  }
  tracer.startActiveSpan('send orders', { kind: SpanKind.PRODUCER, attributes: { 'messaging.system': 'kafka', 'messaging.destination.name': 'orders' } }, (span) => span.end());
  http.get(process.env.DOWNSTREAM_URL, (down) => {
    down.resume();
    down.on('end', () => res.end(trace.getActiveSpan().spanContext().traceId));
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
