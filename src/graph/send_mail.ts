// `POST /v1.0/users/{id}/sendMail` with the message as MIME.
// https://learn.microsoft.com/graph/api/user-sendmail

import type { ServiceOutcome } from "../delivery/delivery.ts";
import type { RequestBody } from "../http/client.ts";
import { sent } from "./graph_errors.ts";
import type { GraphClient } from "./graph_client.ts";

export interface SendMail {
  /** Such as `https://graph.microsoft.com`, without a slash at the end. */
  readonly base: string;
  /** The mailbox that sends: an address or an object id. */
  readonly sender: string;
  /** The message in base64. */
  readonly body: RequestBody;
  /** The submission's name, for the reply. */
  readonly id: string;
}

const HEADERS = { "Content-Type": "text/plain" };
/** Nothing else means that Graph has taken the message, 200 neither. */
const TAKEN = [202];

export async function sendMail(
  graph: GraphClient,
  { base, sender, body, id }: SendMail,
): Promise<ServiceOutcome> {
  const result = await graph.request({
    method: "POST",
    url: new URL(`${base}/v1.0/users/${encodeURIComponent(sender)}/sendMail`),
    headers: HEADERS,
    body,
    authorized: true,
    submits: true,
  }, TAKEN);
  if (result.type === "failed") return result.outcome;
  return sent(id, result.answer);
}
