// Whose failures are summed up together, and which ones are the same. A device is a username and an address: many
// may share a username.

import type { NotSent } from "../delivery/delivery.ts";
import { clientKey } from "../networks.ts";
import type { LoginEvent, MessageEvent, QueueEvent, RefusedEvent } from "./relay_event.ts";

/** Characters of a client's or service's text that tell two failures apart. */
const MAX_PART = 256;

/** What fails, and how. */
export type FailureKey = readonly [source: string, way: string];

export function loginSource({ credentials, client }: LoginEvent): string {
  return key("login", credentials.username, clientKey(client.address));
}

export function loginFailure(
  event: LoginEvent,
  { type, code, detail }: Extract<LoginEvent["result"], { readonly reply: unknown }>,
): FailureKey {
  return [loginSource(event), key(type, code ?? detail)];
}

/** Messages of a device with one sender, until one of them is accepted. */
export function messageSource({ principal, client, submission }: MessageEvent): string {
  return messageKey(principal.username, client.address, submission.envelope.from);
}

/**
 * A service's text distinguishes refusals for good, because it may name a recipient; for a while, all messages of
 * a sender are deferred for the same reason.
 */
export function messageFailure(event: MessageEvent, outcome: NotSent): FailureKey {
  const { type, code, detail } = outcome;
  return [messageSource(event), type === "refused" ? key(type, code, detail) : key(type, code)];
}

/** @param verified whether the client has logged in, and not only claimed to be of an account */
export function refusal(event: RefusedEvent, verified: boolean): FailureKey {
  const { refusal: { command, reply, argument = "", from }, principal, client } = event;
  const { code } = reply;
  if (!verified || principal === undefined) {
    // No login ends this: it may be another device at the address of a proxy.
    return [key("stranger", clientKey(client.address)), key(command, code)];
  }
  // Such as `FROM:<ann@x.test> SIZE=4711`: the size differs each time.
  const address = /<([^<>]*)>/.exec(argument)?.[1] ?? argument;
  const { username } = principal;
  return command === "RCPT"
    ? [key("recipient", username, clientKey(client.address)), key(code, address)]
    : [messageKey(username, client.address, from ?? address), key(command, code)];
}

/** Queued messages of an account with one sender. */
export function queueSource({ message: { record } }: QueueEvent): string {
  if (record === undefined) return key("queue");
  const { username, account: { tenantId, clientId }, envelope } = record;
  return key("queue", username, tenantId, clientId, envelope.from);
}

export function queueFailure(event: QueueEvent): FailureKey {
  return [queueSource(event), key(event.code ?? "")];
}

function messageKey(username: string, address: string, sender: string): string {
  return key("message", username, clientKey(address), sender);
}

function key(...parts: readonly (string | number)[]): string {
  return parts.map((part) => String(part).slice(0, MAX_PART)).join("\n");
}
