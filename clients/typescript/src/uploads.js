/** One attempt at an upload: multipart, with progress. */

/** @import { Entry, Message } from "./types.js" */
/** @import { Rest } from "./rest.js" */
import { ChatError, asChatError } from "./errors.js";
import { answered } from "./rest.js";

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
export function upload({ rest, XMLHttpRequest, idle }, entry, signal, progress) {
  const address = rest.address(`/v2/threads/${entry.peer_id}/attachments`, {
    client_ref: entry.client_ref,
    dispatch: entry.dispatch,
  });
  return rest.withToken(async (token) => {
    const late = new AbortController();
    const abort = () => late.abort();
    let timer = setTimeout(abort, idle);
    /** @param {number} sent @param {number} total */
    const moved = (sent, total) => {
      clearTimeout(timer);
      timer = setTimeout(abort, idle);
      progress(sent, total);
    };
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    const send = XMLHttpRequest ? byXhr(XMLHttpRequest) : byFetch(rest.fetch);
    try {
      return await send(address, token, form(entry), late.signal, moved, entry.file?.size ?? 0);
    } catch (error) {
      throw signal.aborted ? new ChatError("cancelled") : asChatError(error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  });
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

/** @typedef {(address: string, token: string, form: FormData, signal: AbortSignal, moved: (sent: number, total: number) => void, size: number) => Promise<Message>} Send */

/**
 * The only way in browsers that tells of progress.
 *
 * @param {new () => XMLHttpRequest} XMLHttpRequest
 * @returns {Send}
 */
const byXhr = (XMLHttpRequest) => (address, token, form, signal, moved) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) => moved(loaded, total);
    request.onload = () => {
      try {
        resolve(answered(request.status, request.responseText, request.getResponseHeader("Retry-After")));
      } catch (error) {
        reject(error);
      }
    };
    request.onerror = request.onabort = () => reject(new ChatError("no_answer"));
    signal.addEventListener("abort", () => request.abort());
    if (signal.aborted) return reject(new ChatError("no_answer"));
    request.send(form);
  });

/**
 * A stream, whose chunks are counted as they are read.
 *
 * @param {typeof globalThis.fetch} fetch
 * @returns {Send}
 */
const byFetch = (fetch) => async (address, token, form, signal, moved, size) => {
  const coded = new Response(form);
  let sent = 0;
  const counted = coded.body?.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        sent += chunk.byteLength;
        // The parts' heads are no part of the file.
        moved(Math.min(sent, size), size);
        controller.enqueue(chunk);
      },
    }),
  );
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": coded.headers.get("Content-Type") ?? "" };
  const init = /** @type {RequestInit} */ ({ method: "POST", headers, body: counted, signal, duplex: "half" });
  const answer = await fetch(address, init);
  return answered(answer.status, await answer.text(), answer.headers.get("Retry-After"));
};
