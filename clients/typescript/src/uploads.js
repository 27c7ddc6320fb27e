/** One attempt at an upload: multipart, with progress. One that was begun before is asked for first. */

/** @import { Entry, Message } from "./types.js" */
/** @import { Rest, Send } from "./rest.js" */
import { asChatError } from "./errors.js";

/**
 * Fails with a ChatError. What is cut off leaves nothing, but the answer may be lost.
 *
 * @param {Rest} rest
 * @param {(new () => XMLHttpRequest) | null | undefined} XMLHttpRequest without: by `fetch`
 * @param {Entry} entry
 * @param {AbortSignal} signal
 * @param {(sent: number, total: number) => void} progress bytes
 * @returns {Promise<Message>}
 */
export async function upload(rest, XMLHttpRequest, entry, signal, progress) {
  const { client_ref, peer_id, dispatch, file } = entry;
  if (entry.begun) {
    try {
      return await rest.get(`/v2/sends/${client_ref}`);
    } catch (error) {
      if (asChatError(error).code !== "not_found") throw error;
    }
  }
  const size = file?.size ?? 0;
  const { fetch } = rest;
  /** @type {Send} */
  const send = (address, init, moved) => {
    init.body = form(entry);
    /** @param {number} sent */
    const told = (sent) => {
      moved();
      // The parts' heads are no part of the file.
      progress(Math.min(sent, size), size);
    };
    return XMLHttpRequest ? byXhr(new XMLHttpRequest(), address, init, told) : fetch(address, counted(init, told));
  };
  return rest.request("POST", `/v2/threads/${peer_id}/attachments`, { query: { client_ref, dispatch }, signal, send });
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

/**
 * The only way in browsers that tells of progress.
 *
 * @param {XMLHttpRequest} request
 * @param {string} address
 * @param {Parameters<Send>[1]} init
 * @param {(sent: number) => void} told
 * @returns {Promise<Response>}
 */
const byXhr = (request, address, { headers, body, signal }, told) =>
  new Promise((resolve, reject) => {
    request.open("POST", address);
    request.setRequestHeader("Authorization", headers.Authorization);
    request.upload.onprogress = ({ loaded }) => told(loaded);
    request.onload = () => {
      const { status, responseText } = request;
      const wait = request.getResponseHeader("Retry-After") ?? "";
      resolve(new Response(responseText || null, { status, headers: { "Retry-After": wait } }));
    };
    request.onerror = request.onabort = reject;
    signal.onabort = () => request.abort();
    request.send(/** @type {FormData} */ (body));
  });

/**
 * A stream, whose chunks are counted as they are read.
 *
 * @param {Parameters<Send>[1]} init
 * @param {(sent: number) => void} told
 * @returns {RequestInit}
 */
function counted(init, told) {
  const coded = new Response(init.body);
  let sent = 0;
  const body = coded.body?.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        told((sent += chunk.byteLength));
        controller.enqueue(chunk);
      },
    }),
  );
  init.headers["Content-Type"] = coded.headers.get("Content-Type") ?? "";
  return /** @type {RequestInit} */ ({ ...init, body, duplex: "half" });
}
