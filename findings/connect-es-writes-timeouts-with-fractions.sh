#!/usr/bin/env bash
# @connectrpc/connect 2.3.0, gRPC transport of Node: a `timeoutMs` that is no whole number is sent as it is.
#
# One would expect it to be rounded: the gRPC protocol allows at most eight digits and a unit in `grpc-timeout`. A
# server that holds to that refuses the call, and one that does not may run it without a deadline. The cause is often
# arithmetic (`1000 / 3`, a share of a budget, performance.now()). Round before the call.
#
# Seen:
#   timeoutMs 1500: grpc-timeout 1500m
#   timeoutMs 12.5: grpc-timeout 12.5m
# Needs Node 20 or later with npm. Takes 10 seconds.
set -euo pipefail
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT
cd "$directory"

npm install --silent --no-audit --no-fund @connectrpc/connect@2.3.0 @connectrpc/connect-node@2.3.0 @bufbuild/protobuf@2.17.0

cat >call.mjs <<'NODE'
import { createServer } from "node:http2";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { EmptySchema, file_google_protobuf_empty } from "@bufbuild/protobuf/wkt";

// A service of one method, which takes and gives nothing.
const service = {
  kind: "service", typeName: "example.Example", name: "Example", methods: [], method: {}, proto: {}, file: file_google_protobuf_empty,
};
const method = {
  kind: "rpc", name: "Call", localName: "call", parent: service, methodKind: "unary", idempotency: 0, input: EmptySchema, output: EmptySchema,
  proto: {},
};
service.methods.push(method);
service.method.call = method;

let seen;
const server = createServer();
server.on("stream", (stream, headers) => {
  seen = headers["grpc-timeout"];
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(Buffer.alloc(5));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const client = createClient(service, createGrpcTransport({ baseUrl: `http://127.0.0.1:${server.address().port}` }));
for (const timeoutMs of [1500, 12.5]) {
  // The answer comes too late for the shorter one now and then.
  await client.call({}, { timeoutMs }).catch(() => {});
  console.log(`timeoutMs ${timeoutMs}: grpc-timeout ${seen}`);
}
process.exit(0);
NODE

node call.mjs | tee seen
diff - seen <<'SEEN'
timeoutMs 1500: grpc-timeout 1500m
timeoutMs 12.5: grpc-timeout 12.5m
SEEN
