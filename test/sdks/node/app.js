// An Express application with the X-Ray SDK for Node.js, as its guide shows it.
// GET /cart/:id makes an HTTP call to DOWNSTREAM_URL in a subsegment; GET /broken
// fails. Prints its port. The daemon's address comes from AWS_XRAY_DAEMON_ADDRESS.
const http = require('node:http');
const xray = require('aws-xray-sdk-core');
const xrayExpress = require('aws-xray-sdk-express');
const express = require('express');

xray.captureHTTPsGlobal(http);
if (process.env.XRAY_SAMPLING !== '1') {
  xray.middleware.disableCentralizedSampling();
  xray.middleware.setSamplingRules({ version: 2, rules: [], default: { fixed_target: 100, rate: 1 } });
}
const app = express();
app.use(xrayExpress.openSegment('cart-node'));

app.get('/cart/:id', (req, res, next) => {
  xray.getSegment().addAnnotation('cart', req.params.id);
  xray.captureAsyncFunc('reserve', (sub) => {
    const done = (err) => {
      sub.close(err);
      err ? next(err) : res.json({ ok: true });
    };
    if (!process.env.DOWNSTREAM_URL) return done();
    http.get(process.env.DOWNSTREAM_URL, (down) => { down.resume(); down.on('end', () => done()); }).on('error', done);
  });
});
app.get('/broken', () => { throw new TypeError('no such cart'); });

app.use(xrayExpress.closeSegment());
app.use((err, req, res, next) => res.status(500).end(err.message));
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
