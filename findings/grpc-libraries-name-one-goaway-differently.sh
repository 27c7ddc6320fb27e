#!/usr/bin/env bash
# @grpc/grpc-js 1.14.7 and grpcio 1.85.3: one GOAWAY with ENHANCE_YOUR_CALM ends a call with two different statuses.
#
# One would expect the same status in every language, and UNAVAILABLE, as for any connection that went away under a call:
# the protocol lists what HTTP/2 error codes mean for RST_STREAM alone. grpc-js takes the code of the GOAWAY for that of the
# call. A client that calls again "on UNAVAILABLE" does so in one language and gives up in the other, and
# RESOURCE_EXHAUSTED sounds like a quota or a message that is too large. The text has the cause; so call again on both.
#
# Seen, with a server that answers a call's head, sends the GOAWAY and closes the connection:
#   grpcio:  UNAVAILABLE
#   grpc-js: RESOURCE_EXHAUSTED
# Needs Python 3.10 or later with venv, and Node 20 or later with npm. Takes 20 seconds.
set -euo pipefail
directory="$(mktemp -d)"
server=
stop() {
    if [ -n "$server" ]; then kill "$server" || true; fi
    rm -rf "$directory"
}
trap stop EXIT
cd "$directory"

python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install --only-binary :all: h2==4.4.0 grpcio==1.85.3
npm install --silent --no-audit --no-fund @grpc/grpc-js@1.14.7

cat >server.py <<'PYTHON'
import socket

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)


def serve(client):
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    client.sendall(connection.data_to_send())
    while received := client.recv(65536):
        for event in connection.receive_data(received):
            if isinstance(event, RequestReceived):
                head = [(":status", "200"), ("content-type", "application/grpc")]
                connection.send_headers(event.stream_id, head)
                connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM, b"calm down", event.stream_id)
        client.sendall(connection.data_to_send())
        if connection.state_machine.state.name == "CLOSED":
            return


while True:
    client, _ = listener.accept()
    with client:
        serve(client)
PYTHON

cat >call.py <<'PYTHON'
import sys

import grpc

channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")
try:
    list(channel.unary_stream("/example.Example/Call")(b""))
except grpc.RpcError as error:
    print("grpcio: ", error.code().name)
PYTHON

cat >call.js <<'NODE'
const grpc = require("@grpc/grpc-js");

const client = new grpc.Client(`127.0.0.1:${process.argv[2]}`, grpc.credentials.createInsecure());
const same = (bytes) => bytes;
const call = client.makeServerStreamRequest("/example.Example/Call", same, same, Buffer.alloc(0));
call.on("data", () => {});
call.on("error", (error) => {
  console.log("grpc-js:", grpc.status[error.code]);
  process.exit(0);
});
NODE

venv/bin/python server.py >port &
server=$!
for _ in $(seq 100); do
    if [ -s port ]; then break; fi
    sleep 0.1
done
port="$(cat port)"
{
    venv/bin/python call.py "$port" 2>errors
    node call.js "$port"
} | tee seen
diff - seen <<'SEEN'
grpcio:  UNAVAILABLE
grpc-js: RESOURCE_EXHAUSTED
SEEN
