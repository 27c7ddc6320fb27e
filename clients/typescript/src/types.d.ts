/** What goes over the wire (docs/PROTOCOL-2.md). Objects grow at their end: ignore keys that you do not know. */

/** Hyphenated, in lower case. */
export type Uuid = string;
/** UTC with six digits and `Z`. */
export type Time = string;
/** Opaque. */
export type Cursor = string;
export type Meta = Record<string, unknown> | null;

export interface User {
  id: Uuid;
  email: string;
  /** Any JSON. */
  profile: unknown;
}

export interface Attachment {
  /** A path on the server. */
  url: string;
  name: string;
  /** Bytes. */
  size: number;
  content_type: string;
}

export interface Message {
  id: number;
  thread: number;
  sender_id: Uuid;
  receiver_id: Uuid;
  message: string;
  created: Time;
  updated: Time;
  /** For both. It has no text, meta or file any more. */
  deleted: boolean;
  /** For this user. Not to be shown. */
  hidden: boolean;
  reply_to: number | null;
  meta: Meta;
  /** Of a file, when its receiver was told of it. */
  dispatched: Time | null;
  attachment: Attachment | null;
  /** Told to the sender alone. */
  client_ref: Uuid | null;
  rev: number;
}

export interface ThreadState {
  id: number;
  peer_id: Uuid;
  /** The greatest id of a message that was ever visible to this user. */
  last_id: number;
  /** 0 to 1000; 1000 stands for more, too. */
  unread: number;
  seen_id: number;
  delivered_id: number;
  peer_seen_id: number;
  peer_delivered_id: number;
  blocked: boolean;
  rev: number;
}

export interface Thread extends ThreadState {
  peer: User;
  created: Time;
  last_message: Message | null;
}

export interface Limits {
  max_body_bytes: number;
  max_frame_bytes: number;
  max_server_frame_bytes: number;
  max_attachment_bytes: number;
  max_meta_bytes: number;
  /** Null: without end. 0: never. */
  edit_window_s: number | null;
  delete_window_s: number | null;
  /** Null: for ever. */
  retain_s: number | null;
  ping_interval_s: number;
  search: boolean;
}

export interface Presence {
  peer_id: Uuid;
  online: boolean;
  /** To the minute. Null if hidden or never. */
  last_seen: Time | null;
}

export interface Block {
  peer_id: Uuid;
  created: Time;
}

export interface Me {
  user: User;
  presence: "peers" | "nobody";
  unread_total: number;
  limits: Limits;
}

/** An unknown one may come: treat it as its status says. */
export type ErrorCode =
  | "invalid_json"
  | "unknown_action"
  | "invalid_field"
  | "invalid_receiver"
  | "invalid_token"
  | "user_deleted"
  | "not_found"
  | "not_allowed"
  | "not_enabled"
  | "too_late"
  | "message_too_large"
  | "rate_limited"
  | "unavailable"
  | "outcome_unknown"
  | "internal"
  | "reset"
  | "method_not_allowed"
  | "unsupported_media_type";

export type Reset = "epoch" | "unknown";

// What a client sends.

export interface ChatMessageFrame {
  action: "chat_message";
  ref?: string | null;
  message_body: string;
  receiver_id: Uuid;
  client_ref: Uuid;
  reply_to?: number | null;
  meta?: Meta;
}

export interface ChatMessageFileFrame {
  action: "chat_message_file";
  ref?: string | null;
  chat_id: number | string;
}

export interface MessageEditFrame {
  action: "message_edit";
  ref?: string | null;
  message_id: number;
  message_body: string;
  /** Left out, it stays; null removes it. */
  meta?: Meta;
}

export interface MessageDeleteFrame {
  action: "message_delete";
  ref?: string | null;
  message_id: number;
  for: "everyone" | "me";
}

export interface DeliveredFrame {
  action: "delivered";
  ref?: string | null;
  peer_id: Uuid;
  up_to: number;
}

export interface SeenFrame {
  action: "seen";
  ref?: string | null;
  peer_id: Uuid;
  up_to: number;
}

export interface SetTypingFrame {
  action: "typing";
  ref?: string | null;
  peer_id: Uuid;
  typing: boolean;
}

export interface PresenceWatchFrame {
  action: "presence_watch";
  ref?: string | null;
  /** 100 at most. It replaces the list. */
  peer_ids: Uuid[];
}

export interface PresenceSetFrame {
  action: "presence_set";
  ref?: string | null;
  presence: "peers" | "nobody";
}

export interface BlockFrame {
  action: "block";
  ref?: string | null;
  peer_id: Uuid;
}

export interface UnblockFrame {
  action: "unblock";
  ref?: string | null;
  peer_id: Uuid;
}

export interface TokenRefreshFrame {
  action: "token_refresh";
  ref?: string | null;
  token: string;
}

export interface PingFrame {
  action: "ping";
  ref?: string | null;
}

export type ClientFrame =
  | ChatMessageFrame
  | ChatMessageFileFrame
  | MessageEditFrame
  | MessageDeleteFrame
  | DeliveredFrame
  | SeenFrame
  | SetTypingFrame
  | PresenceWatchFrame
  | PresenceSetFrame
  | BlockFrame
  | UnblockFrame
  | TokenRefreshFrame
  | PingFrame;

// What a client is sent.

export interface HelloFrame {
  action: "hello";
  user_id: Uuid;
  session_id: string;
  cursor: Cursor;
  resumed: boolean;
  reset: Reset | null;
  /** At most so many changes were missed. */
  behind: number;
  time: Time;
  limits: Limits;
}

export interface LiveFrame {
  action: "live";
  cursor: Cursor;
  unread_total: number;
}

export interface MessageFrame {
  action: "message";
  cursor: Cursor;
  /** It first appeared after this client was last up to date. */
  new: boolean;
  message: Message;
}

export interface ThreadFrame {
  action: "thread";
  cursor: Cursor;
  thread: ThreadState;
}

export interface AckFrame {
  action: "ack";
  ref: string | null;
  client_ref?: Uuid | null;
  message_id?: number;
  thread?: number;
  created?: Time;
  repeated?: boolean;
  dispatched?: Time;
  updated?: Time;
  peer_id?: Uuid;
  delivered_id?: number;
  seen_id?: number;
  unread?: number;
  last_id?: number;
  states?: Presence[];
  expires?: Time;
  time?: Time;
}

export interface ErrorFrame {
  action: "error";
  ref: string | null;
  client_ref: Uuid | null;
  code: ErrorCode;
  message: string;
  retry_after_ms: number | null;
}

export interface TypingFrame {
  action: "typing";
  peer_id: Uuid;
  typing: boolean;
}

export interface PresenceFrame extends Presence {
  action: "presence";
}

export interface UserFrame {
  action: "user";
  user: User;
}

export interface TokenExpiringFrame {
  action: "token_expiring";
  in_s: number;
}

export interface ReconnectFrame {
  action: "reconnect";
  after_ms: number;
}

export type ServerFrame =
  | HelloFrame
  | LiveFrame
  | MessageFrame
  | ThreadFrame
  | AckFrame
  | ErrorFrame
  | TypingFrame
  | PresenceFrame
  | UserFrame
  | TokenExpiringFrame
  | ReconnectFrame;

// Pages of REST.

export type Change = Omit<MessageFrame, "cursor"> | Omit<ThreadFrame, "cursor">;

export interface Changes {
  changes: Change[];
  cursor: Cursor;
  more: boolean;
  unread_total: number;
}

export interface ThreadPage {
  threads: Thread[];
  next: string | null;
  unread_total: number;
}

export interface Snapshot extends ThreadPage {
  cursor: Cursor;
}

export interface MessagePage {
  messages: Message[];
  next: string | null;
}

export interface BlockPage {
  blocks: Block[];
  next: string | null;
}

// What the client holds, and gives to the app.

/** A thread as it is held. `peer` and `created` are null until they have been read. */
export interface HeldThread extends ThreadState {
  peer: User | null;
  created: Time | null;
}

/** A thread to be shown: `unread` and `last_id` count all that is held. */
export interface ShownThread extends HeldThread {
  last_message: Message | null;
}

/** A message to be shown. What is not sent yet has `id` 0. */
export interface ShownMessage extends Message {
  status: "pending" | "failed" | "sent";
  /** Why it was refused. */
  error?: ErrorCode;
}

/** What is to be sent, as a store keeps it. */
export interface Entry {
  client_ref: Uuid;
  peer_id: Uuid;
  message_body: string;
  reply_to: number | null;
  meta: Meta;
  /** Milliseconds since 1970, by the server's clock as far as it is known. */
  created: number;
  /** Given by the store. It grows. */
  seq: number;
  /** The code of a refusal. It stays until it is retried or discarded. */
  failed?: ErrorCode;
  /** Of an upload. */
  file?: Blob;
  name?: string;
  dispatch?: boolean;
  /** An upload was begun before: ask before it is repeated. */
  begun?: boolean;
}

/** From which id on all messages of a thread are held. */
export interface Range {
  thread: number;
  from: number;
  /** They go on to this id: it has to reach what was held before. */
  before: number;
}

export interface Stored {
  user_id: Uuid | null;
  /** Counts the snapshots. */
  generation: number;
  cursor: Cursor | null;
  /** Where the list of threads goes on that have not been read yet. */
  next: string | null;
  threads: HeldThread[];
  messages: Message[];
  ranges: { thread: number; from: number }[];
  outbox: Entry[];
}

export interface Batch {
  user_id?: Uuid;
  cursor?: Cursor | null;
  next?: string | null;
  threads: HeldThread[];
  messages: Message[];
  ranges: Range[];
  /** Message ids. */
  removed: number[];
  /** `client_ref`s whose messages are stored: they leave the outbox. */
  settled: Uuid[];
}

/** Where the client keeps what it holds. Each method is one transaction. */
export interface Store {
  /** Everything, of each thread the newest `keep` messages; the older ones may be removed. */
  load(keep: number): Promise<Stored>;
  /** Upserts by `id`, one after the other: what is held with a greater `rev` stays. False, and nothing is done, where the generation is another. */
  apply(generation: number, batch: Batch): Promise<boolean>;
  /** Replaces everything but the outbox. Gives the new generation. */
  reset(batch: Batch): Promise<number>;
  outbox(): Promise<Entry[]>;
  /** Adds or replaces an entry. Gives its `seq`, which stays if it has one above 0. */
  put(entry: Entry): Promise<number>;
  remove(clientRef: Uuid): Promise<void>;
  /** Removes everything. */
  clear(): Promise<void>;
  /** Waits until nobody else uses the outbox. Left out: nobody else does. */
  lock?(signal: AbortSignal): Promise<() => void>;
  /** Tells of changes of the outbox by others, until the function that it gives is called. */
  watch?(changed: () => void): () => void;
  close?(): void;
}

/** What a WebSocket of the platform has. */
export interface SocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
}

export type State =
  /** Not connected, and it comes back by itself. */
  | "away"
  | "connecting"
  /** Connected; what was missed is coming. */
  | "catching_up"
  | "live"
  /** Not connected, and it does not come back by itself: see the reason. */
  | "stopped";

export type StopReason = "closed" | "token" | "signed_out" | "replaced" | "refused" | "wrong_user";

/** Milliseconds, but for `farBehind` and `keep`. */
export interface Timing {
  hello: number;
  silence: number;
  pong: number;
  backoffBase: number;
  backoffMax: number;
  /** How long a connection is `live` until the backoff begins anew. */
  backoffReset: number;
  /** The least wait after a bug or a flood of one's own. */
  flood: number;
  /** After 1001, at random. */
  drain: number;
  request: number;
  /** How long changes wait for others, to be stored together. */
  store: number;
  receipts: number;
  typingRepeat: number;
  typingIdle: number;
  typingEnd: number;
}

export interface Options {
  /** `https://chat.example.com` */
  url: string;
  /** Gives an access token, or null where there is none. `refresh`: the last one was refused, or ends soon. */
  token(request: { refresh: boolean }): Promise<string | null> | string | null;
  store?: Store;
  /** Sockets are opened by a ticket, so that no token stands in a URL. An older server is given the token. */
  tickets?: boolean;
  /** False: `?protocol=2` instead of the subprotocol, for natives. */
  subprotocol?: boolean;
  /** Acknowledges as delivered what arrives. */
  delivered?: boolean;
  /** Messages that are kept per thread from one start to the next. */
  keep?: number;
  /** Changes missed from which on a snapshot is taken instead. */
  farBehind?: number;
  /** Uploads at a time. */
  uploads?: number;
  timing?: Partial<Timing>;
  WebSocket?: new (url: string, protocols?: string[]) => SocketLike;
  fetch?: typeof globalThis.fetch;
  /** Null: uploads go by `fetch`. */
  XMLHttpRequest?: (new () => XMLHttpRequest) | null;
  randomUUID?: () => string;
  random?: () => number;
}

export interface SendOptions {
  replyTo?: number | null;
  meta?: Meta;
  /** To repeat a send of one's own. */
  clientRef?: Uuid;
}

export interface UploadOptions extends SendOptions {
  message?: string;
  name?: string;
  /** False: the receiver learns of it by `dispatch()`. */
  dispatch?: boolean;
}

export interface Sent {
  client_ref: Uuid;
  message_id: number;
  thread: number;
  created: Time;
}

/** A send that is written down. */
export interface Sending {
  clientRef: Uuid;
  /** Settles when the server has stored it, or refused it. */
  sent: Promise<Sent>;
}

export interface Events {
  state: { state: State; reason: StopReason | null };
  /** A message came or changed. `ring`: it is new, of the peer, and worth a sound. */
  message: { message: Message; ring: boolean };
  thread: { thread: ShownThread };
  /** Everything held was replaced. */
  reset: { reset: Reset | "behind" | "new" | "other_tab" };
  /** The outbox changed: show `messages(peer_id)` again. */
  outbox: { peer_id: Uuid | null };
  sent: Sent;
  failed: { client_ref: Uuid; peer_id: Uuid; error: Error };
  upload: { client_ref: Uuid; sent: number; total: number };
  unread: { total: number };
  typing: { peer_id: Uuid; typing: boolean };
  presence: Presence;
  user: { user: User };
  /** The server goes on under this limits. */
  hello: HelloFrame;
  signed_out: { reason: StopReason };
  /** Something failed that nobody waits for: the store, a read in the background. */
  error: { error: unknown };
  /** An iterator was too slow: what is behind this was dropped. Read the state again. */
  overflow: {};
}

export type AnyEvent = { [K in keyof Events]: { type: K } & Events[K] }[keyof Events];
