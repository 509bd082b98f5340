// What the log says of logins, messages and connections: one line for each.

import { format } from "node:util";
import type { LoginResult } from "../accounts/accounts.ts";
import type { Outcome, Submission } from "../delivery/outcome.ts";
import type { Client, ConnectionSummary } from "../server/handlers.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { Log, LogFields } from "./log.ts";

/** Characters of what a client said that a line quotes at most. */
const MAX_QUOTED = 256;

export class Events {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  login({ username, mechanism }: Credentials, client: Client, result: LoginResult): void {
    const fields = { ...from(client), username: username.slice(0, MAX_QUOTED), mechanism };
    if (result.type === "account") return this.#log.debug("Login succeeded", fields);
    const message = result.type === "refused" ? "Login refused" : "Login deferred";
    this.#log.warning(message, { ...fields, detail: result.detail, reply: result.reply.code });
  }

  message(submission: Submission, outcome: Outcome, client: Client, milliseconds: number): void {
    const { id, account, envelope, content } = submission;
    const fields = {
      id,
      ...from(client),
      tenant: account.tenantId,
      app: account.clientId,
      sender: envelope.from,
      recipients: envelope.recipients.length,
      bytes: content.reduce((sum, block) => sum + block.length, 0),
      ms: Math.round(milliseconds),
      ...(outcome.requestId === undefined ? {} : { request: outcome.requestId }),
    };
    if (outcome.type === "sent") return this.#log.info("Message sent", fields);
    const { code, detail, reply } = outcome;
    const message = outcome.ambiguous
      ? "Message may have been sent"
      : outcome.type === "later"
      ? "Message deferred"
      : "Message refused";
    this.#log.warning(message, { ...fields, code, detail, reply: reply.code });
  }

  connection(summary: ConnectionSummary): void {
    const { client, secure, handshakeFailed, received, messages, milliseconds, reason } = summary;
    const fields: LogFields = { ...from(client), tls: secure, messages, ms: milliseconds, reason };
    if (handshakeFailed && summary.error) this.#log.warning("TLS handshake failed", fields);
    else if (received === 0) this.#log.debug("Connection ended", fields);
    else this.#log.info("Connection ended", fields);
  }

  bug(error: unknown, client: Client): void {
    this.#log.error("Internal error; the connection was ended", {
      ...from(client),
      error: format("%s", error instanceof Error ? error.stack : error),
    });
  }
}

function from({ connection, address }: Client): LogFields {
  return { connection, client: address };
}
