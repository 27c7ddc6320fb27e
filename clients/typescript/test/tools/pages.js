/** A server of pages for a browser, until the test ends. */

import { once } from "node:events";
import { createServer } from "node:http";
import { extname } from "node:path";

const TYPES = { "": "text/html", ".html": "text/html", ".js": "text/javascript" };

/** Gives its address. `contentOf` gives what a path has, and fails where it has nothing. */
export async function serve(t, contentOf) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    try {
      const content = await contentOf(pathname);
      response.writeHead(200, { "Content-Type": TYPES[extname(pathname)] ?? "text/plain" });
      response.end(content);
    } catch {
      response.writeHead(404);
      response.end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}
