// node clients.js CLIENT CASES: opens the sockets of CASES, which is JSON, with one client of WebSockets, and prints as
// JSON what it saw (watch.js). A case is {url, offer, ends}: `offer` is a list of subprotocols.
"use strict";

const watch = require("./watch");

// As a page opens it.
const plain = ({ url, offer }) => new WebSocket(url, offer);

const clients = {
  ws: (cases) => watch(cases, withWs),
  // The same on a header line for each offer.
  "ws-lines": (cases) => watch(cases, (one) => withWs(one, { finishRequest: inLines(one.offer) })),
  node: (cases) => watch(cases, plain),
  chromium: (cases) => require("./chromium")(`(cases) => (${watch})(cases, ${plain})`, cases),
};

function withWs({ url, offer }, options) {
  const WebSocket = require("ws");
  return new WebSocket(url, offer, options);
}

const inLines = (offer) => (request) => {
  request.setHeader("Sec-WebSocket-Protocol", offer);
  request.end();
};

const [client, cases] = process.argv.slice(2);
clients[client](JSON.parse(cases)).then((seen) => console.log(JSON.stringify(seen)));
