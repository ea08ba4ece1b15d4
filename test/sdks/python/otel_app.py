"""Sends one trace with the OpenTelemetry SDK for Python and prints its id.

Arguments: grpc|http and the endpoint.
"""
import sys

from opentelemetry import trace
from opentelemetry.sdk.extension.aws.trace import AwsXRayIdGenerator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=sys.argv[2], insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=sys.argv[2] + "/v1/traces", compression=Compression.Gzip)

provider = TracerProvider(resource=Resource.create({"service.name": "otel-python"}), id_generator=AwsXRayIdGenerator())
provider.add_span_processor(BatchSpanProcessor(exporter))
tracer = provider.get_tracer("shop")
with tracer.start_as_current_span("GET /cart", kind=trace.SpanKind.SERVER, attributes={"http.request.method": "GET", "url.path": "/cart", "http.response.status_code": 500, "cart.size": 3}) as span:
    with tracer.start_as_current_span("SELECT", kind=trace.SpanKind.CLIENT, attributes={"db.system.name": "postgresql", "db.query.text": "select 1", "server.address": "db.internal", "db.namespace": "carts"}):
        pass
    try:
        raise RuntimeError("out of carts")
    except RuntimeError as err:
        span.record_exception(err)
        span.set_status(trace.StatusCode.ERROR, "out of carts")
    print(format(span.get_span_context().trace_id, "032x"), flush=True)
if not provider.force_flush():
    sys.exit("spans were not exported")
provider.shutdown()
