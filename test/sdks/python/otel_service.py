"""A Flask service with the OpenTelemetry SDK for Python and its instrumentations.

Set up by the usual variables: OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_*. GET /price
asks an SQLite database, GET /broken fails. Prints its port.
"""
import logging
import os
import sqlite3

from flask import Flask
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from werkzeug.serving import make_server

if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
SQLite3Instrumentor().instrument()
app = Flask(__name__)
app.logger.disabled = logging.getLogger("werkzeug").disabled = True
FlaskInstrumentor().instrument_app(app)


@app.get("/price")
def price():
    with sqlite3.connect(":memory:") as db:
        return str(db.cursor().execute("SELECT 2 * 21").fetchone()[0])


@app.get("/broken")
def broken():
    raise RuntimeError("no price today")


server = make_server("127.0.0.1", 0, app)
print(server.port, flush=True)
server.serve_forever()
