// The events that a webhook gets, as JSON. docs/webhooks.schema.json describes them.

/** Never with a subject, a content, a recipient's address or a secret. */
export interface WebhookEvent {
  readonly type: WebhookType;
  /** ISO 8601, UTC. */
  readonly timestamp: string;
  readonly data: WebhookData;
}

export const WEBHOOK_TYPES = [
  /** The client has got 250. */
  "message.accepted",
  /** The mail service has accepted the message. */
  "message.sent",
  /** It is on stable storage, and will be sent. */
  "message.queued",
  /** The client, or the queue, tries it again later. */
  "message.deferred",
  /** It is refused for good, or given up by the queue. */
  "message.failed",
  /** It may have been sent. */
  "message.ambiguous",
  /** The queue keeps it for an administrator. */
  "message.held",
  /** A non-delivery report was sent to its sender. */
  "message.bounced",
  /** Many logins from one address failed in a short time. */
  "login.failures",
  /** The client secret of an account has expired. */
  "secret.expired",
  /** The certificate ends soon, has ended, or could not be replaced. */
  "certificate.ending",
  /** The relay's own certificate for Entra ID ends soon, has ended, or could not be replaced. */
  "credential.ending",
  /** Entra ID refuses a credential of the relay's own. */
  "credential.refused",
  /** Of several ways out, one does not take messages: they go by the next. */
  "backend.down",
  /** It takes messages again. */
  "backend.up",
] as const;

export type WebhookType = (typeof WEBHOOK_TYPES)[number];

export type WebhookData = Readonly<Record<string, string | number | boolean>>;
