"""A collector of traces that is not ours: it takes OTLP over gRPC and prints what it got, a span a line.

    collector.py HOST [CERTIFICATE KEY]

Prints the port that it listens on first. It ends with its standard input.
"""

import json
import sys
import threading
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.proto.trace.v1 import trace_pb2


def value_of(value):
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def attributes_of(pairs):
    return {pair.key: value_of(pair.value) for pair in pairs}


def shown(span, resource, metadata):
    return {
        "name": span.name,
        "kind": trace_pb2.Span.SpanKind.Name(span.kind),
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "trace_state": span.trace_state,
        "took": span.end_time_unix_nano - span.start_time_unix_nano,
        "attributes": attributes_of(span.attributes),
        "events": [event.name for event in span.events],
        "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links],
        "status": trace_pb2.Status.StatusCode.Name(span.status.code),
        "reason": span.status.message,
        "resource": resource,
        "metadata": metadata,
    }


# Several processes send at once, and a line is to stay whole.
printing = threading.Lock()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        lines = []
        for of_resource in request.resource_spans:
            resource = attributes_of(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    lines.append(json.dumps(shown(span, resource, metadata)))
        with printing:
            print("\n".join(lines), flush=True)
        return trace_service_pb2.ExportTraceServiceResponse()


def main():
    host, *files = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), server)
    if files:
        certificate, key = (open(file, "rb").read() for file in files)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        port = server.add_secure_port(f"{host}:0", credentials)
    else:
        port = server.add_insecure_port(f"{host}:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    server.stop(None)


main()
