// Follows logins and messages through the relay: from the SMTP session through the outgoing requests to
// the inbox. The asynchronous context connects a request with its message. The imitated Graph gets the
// message's id in `client-request-id`, a field that Graph has for such a purpose.
// https://learn.microsoft.com/graph/best-practices-concept#reliability-and-support

import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { type Delimiter, parseUsername } from "../../accounts/username.ts";
import type { HttpClient, HttpRequest } from "../../http/client.ts";
import type { RelayEvent } from "../../observe/relay_event.ts";
import type { Refusal } from "../../smtp/effects.ts";
import type { SessionObserver } from "../../smtp/observer.ts";
import { printable, type Reply, replyText } from "../../smtp/reply.ts";
import type {
  Client,
  Login,
  ReceivedMessage,
  SubmissionService,
} from "../../submission/submission_service.ts";
import { Dialogue } from "./dialogue.ts";
import { type FailureEvent, Failures, MAX_RECIPIENTS } from "./failures.ts";
import { Trace } from "./trace.ts";

type Requests = Pick<HttpClient, "request" | "abort">;

/** `traced`: a trace may have changed. */
export type TraceEvent = FailureEvent | { readonly type: "traced" };

/** A connection that is open. */
interface Session {
  readonly dialogue: Dialogue;
  /** The trace of the login before its messages. */
  login?: Trace;
}

/** The message or login that is being processed. */
interface Work {
  /** The message's id; undefined for a login. */
  readonly id?: string;
  readonly trace: Trace;
}

export class Tracer {
  readonly failures = new Failures((event) => this.#tell(event));
  readonly #delimiter: Delimiter;
  readonly #work = new AsyncLocalStorage<Work>();
  /** By the names of their connections. */
  readonly #sessions = new Map<string, Session>();
  /** Of the messages that are being submitted, by their `client-request-id`. */
  readonly #submitting = new Map<string, Trace>();
  readonly #listeners = new Set<(event: TraceEvent) => void>();

  constructor(delimiter: Delimiter) {
    this.#delimiter = delimiter;
  }

  /** Calls `listener` for each event from now on, until the returned function is called. */
  subscribe(listener: (event: TraceEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #tell(event: TraceEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch {
        // A listener's error must not affect mail.
        this.#listeners.delete(listener);
      }
    }
  }

  /** The trace of the message that a request to Graph belongs to. */
  find(clientRequestId: string | undefined): Trace | undefined {
    return this.#submitting.get(clientRequestId ?? "");
  }

  session({ connection }: Client): SessionObserver {
    const dialogue = new Dialogue();
    this.#sessions.set(connection, { dialogue });
    return dialogue;
  }

  http(client: Requests): Requests {
    return {
      request: (request) => this.#request(client, request),
      abort: () => client.abort(),
    };
  }

  service(service: SubmissionService): SubmissionService {
    return {
      authenticate: (credentials, client) => {
        const name = credentials === "trusted" ? {} : {
          username: usernameOrHint(credentials.username, this.#delimiter),
          mechanism: credentials.mechanism,
        };
        return this.#login(client, name, () => service.authenticate(credentials, client));
      },
      submit: (principal, message, waiting) =>
        this.#submit(message, () => service.submit(principal, message, waiting)),
      refused: (refusal, client, principal) => {
        this.#refused(refusal, client);
        service.refused(refusal, client, principal);
      },
    };
  }

  readonly notify = (event: RelayEvent): void => {
    if (event.type !== "connection") return;
    const { client: { connection }, reason } = event;
    this.#sessions.get(connection)?.dialogue.note(`the connection has ended: ${reason}`);
    this.#sessions.delete(connection);
    this.#tell({ type: "traced" });
  };

  #request(client: Requests, request: HttpRequest): ReturnType<Requests["request"]> {
    const work = this.#work.getStore();
    if (work === undefined) return client.request(request);
    const headers = work.id === undefined
      ? request.headers
      : { ...request.headers, "client-request-id": work.id };
    const response = client.request({ ...request, headers });
    void work.trace.request(request, response);
    return response;
  }

  /** @param sent whether it is the trace of a message, after a login */
  #traceOf({ connection, address }: Client, sent = false): Trace {
    const { dialogue, login } = this.#sessions.get(connection) ?? {};
    return new Trace(address, dialogue, sent ? login : undefined);
  }

  async #login(
    client: Client,
    name: { readonly username?: string; readonly mechanism?: string },
    logIn: () => Promise<Login>,
  ): Promise<Login> {
    const trace = this.#traceOf(client);
    const login = await this.#work.run({ trace }, logIn);
    if (login.principal === undefined) {
      const reply = textOf(login.reply);
      this.failures.add({ type: "login", client: client.address, reply, ...name }, trace);
    } else {
      const session = this.#sessions.get(client.connection);
      if (session !== undefined) session.login = trace;
    }
    return login;
  }

  async #submit(message: ReceivedMessage, submit: () => Promise<Reply>): Promise<Reply> {
    const { client, envelope: { from, recipients } } = message;
    const id = randomUUID();
    const trace = this.#traceOf(client, true);
    this.#submitting.set(id, trace);
    try {
      const reply = await this.#work.run({ id, trace }, submit);
      if (reply.code >= 400) {
        const to = recipients.slice(0, MAX_RECIPIENTS);
        const failure = { type: "message", client: client.address, reply: textOf(reply) } as const;
        this.failures.add({ ...failure, from, to }, trace);
      }
      return reply;
    } finally {
      this.#submitting.delete(id);
      // The reply is sent in this turn of the event loop.
      setImmediate(() => this.#tell({ type: "traced" }));
    }
  }

  #refused({ command, reply, from }: Refusal, client: Client): void {
    const type = command === "AUTH" ? "login" : "message";
    const failure = { type, client: client.address, reply: textOf(reply) } as const;
    this.failures.add(
      { ...failure, ...(from === undefined ? {} : { from }) },
      this.#traceOf(client),
    );
  }
}

/** A reply on one line, as a client's log has it. */
function textOf(reply: Reply): string {
  const { code, enhanced } = reply;
  return [code, enhanced, printable(replyText(reply))].filter((part) => part !== undefined).join(
    " ",
  );
}

/** Characters of an invalid username that are shown, and the length from which they are. */
const HINT = 3;
const LONG = 20;

/**
 * A username for the page. A valid one is shown whole, also the id of a lookup, unlike in the log
 * (accounts/shown_username.ts). An invalid one may be a secret in the wrong field: only its length is
 * shown, and the beginning of a long one, as Entra ID does with a secret (passwordCredential's `hint`).
 * https://learn.microsoft.com/graph/api/resources/passwordcredential
 */
export function usernameOrHint(username: string, delimiter: Delimiter): string {
  if (username === "") return "(empty)";
  if (parseUsername(username, delimiter).type !== "invalid") return username;
  const characters = [...username.toWellFormed()];
  const { length } = characters;
  const count = `${length} character${length === 1 ? "" : "s"}`;
  if (length < LONG) return `(not shown: ${count}, no well-formed username)`;
  return `${characters.slice(0, HINT).join("")}… (${count}, no well-formed username)`;
}
