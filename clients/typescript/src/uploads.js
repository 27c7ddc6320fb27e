/** One attempt at an upload: multipart, with progress. One that was begun before is asked for first. */

/** @import { Entry, Message } from "./types.js" */
/** @import { Rest } from "./rest.js" */
import { asChatError } from "./errors.js";
import { abortable, answered } from "./rest.js";

/**
 * @typedef {object} Transport
 * @property {Rest} rest
 * @property {(new () => XMLHttpRequest) | null} XMLHttpRequest null: by `fetch`
 * @property {number} idle milliseconds without any progress until it is given up
 */

/**
 * Fails with a ChatError. What is cut off leaves nothing, but the answer may be lost.
 *
 * @param {Transport} transport
 * @param {Entry} entry
 * @param {AbortSignal} signal
 * @param {(sent: number, total: number) => void} progress bytes
 * @returns {Promise<Message>}
 */
export async function upload({ rest, XMLHttpRequest, idle }, entry, signal, progress) {
  if (entry.begun) {
    try {
      return await rest.get(`/v2/sends/${entry.client_ref}`);
    } catch (error) {
      if (asChatError(error).code !== "not_found") throw error;
    }
  }
  const address = rest.address(`/v2/threads/${entry.peer_id}/attachments`, {
    client_ref: entry.client_ref,
    dispatch: entry.dispatch,
  });
  const size = entry.file?.size ?? 0;
  return rest.withToken((token) =>
    abortable(idle, signal, (signal, moved) => {
      /** @param {number} sent */
      const told = (sent) => {
        moved();
        // The parts' heads are no part of the file.
        progress(Math.min(sent, size), size);
      };
      const send = XMLHttpRequest ? byXhr(XMLHttpRequest) : byFetch(rest.fetch);
      return send(address, token, form(entry), signal, told);
    }),
  );
}

/** @param {Entry} entry */
function form({ file, name, message_body, reply_to, meta }) {
  const form = new FormData();
  if (message_body) form.append("message_body", message_body);
  if (reply_to) form.append("reply_to", String(reply_to));
  if (meta) form.append("meta", JSON.stringify(meta));
  form.append("attached_file", /** @type {Blob} */ (file), name || "file");
  return form;
}

/** @typedef {(address: string, token: string, form: FormData, signal: AbortSignal, told: (sent: number) => void) => Promise<Message>} Send */

/**
 * The only way in browsers that tells of progress.
 *
 * @param {new () => XMLHttpRequest} XMLHttpRequest
 * @returns {Send}
 */
const byXhr = (XMLHttpRequest) => (address, token, form, signal, told) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded }) => told(loaded);
    request.onload = () => {
      const { status, responseText } = request;
      const headers = { get: (/** @type {string} */ name) => request.getResponseHeader(name) };
      resolve(answered({ status, headers, text: async () => responseText }));
    };
    request.onerror = request.onabort = reject;
    signal.onabort = () => request.abort();
    request.send(form);
  });

/**
 * A stream, whose chunks are counted as they are read.
 *
 * @param {typeof globalThis.fetch} fetch
 * @returns {Send}
 */
const byFetch = (fetch) => async (address, token, form, signal, told) => {
  const coded = new Response(form);
  let sent = 0;
  const counted = coded.body?.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        told((sent += chunk.byteLength));
        controller.enqueue(chunk);
      },
    }),
  );
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": coded.headers.get("Content-Type") ?? "" };
  const init = /** @type {RequestInit} */ ({ method: "POST", headers, body: counted, signal, duplex: "half" });
  return answered(await fetch(address, init));
};
