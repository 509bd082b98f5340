// Direct delivery: the client gets its 250 only after the mail service has taken the message.

import { prepareMessage } from "../message/prepare.ts";
import { reply } from "../smtp/reply.ts";
import type { Backend, Outcome, Submission } from "./outcome.ts";

export interface DeliveryOptions {
  readonly backend: Backend;
  /** Our name in the Received field. */
  readonly hostname: string;
}

/** Delivers one submission: prepares the message, hands it to the backend. */
export function deliver(
  submission: Submission,
  { backend, hostname }: DeliveryOptions,
): Promise<Outcome> {
  const { envelope, content, facts, client, id, receivedAt } = submission;
  const { content: message, sender } = prepareMessage(content, envelope.from, envelope.recipients, {
    ...facts,
    address: client,
    hostname,
    id,
    at: receivedAt,
  });
  if (sender === undefined) return Promise.resolve(NO_SENDER);
  return backend.send(submission, sender, message);
}

const NO_SENDER: Outcome = {
  type: "refused",
  reply: reply(550, "5.1.7", "No sender: MAIL FROM is empty and the From field has no address"),
  ambiguous: false,
  code: "NO_SENDER",
  detail: "MAIL FROM:<> and no address in the From field",
};
