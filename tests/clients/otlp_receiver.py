"""A receiver of OTLP over HTTP: prints where it listens, then each span and each figure
that it gets, a line of JSON after the word `span` or `figure`. What is not what OTLP
asks for is answered by 400, and told after the word `wrong`."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def spans(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "resource": attributes(resource.resource.attributes),
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
                    "error": span.status.code == 2,
                }


def figures(request):
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points:
                    yield {
                        "resource": attributes(resource.resource.attributes),
                        "name": metric.name,
                        "kind": kind,
                        "unit": metric.unit,
                        "attributes": attributes(point.attributes),
                        "value": point.count if kind == "histogram" else value(point),
                    }


SIGNALS = {
    "/v1/traces": ("span", spans, ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": ("figure", figures, ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            if self.path not in SIGNALS or self.headers["content-type"] != "application/x-protobuf":
                raise ValueError(f"{self.path} {self.headers['content-type']}")
            word, read, request, response = SIGNALS[self.path]
            for told in read(request.FromString(body)):
                print(word, json.dumps(told), flush=True)
        except (DecodeError, ValueError) as error:
            print("wrong", error, flush=True)
            self.send_error(400)
            return
        answer = response().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"receiving on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
