// `POST /v1.0/users/{id}/sendMail` with the message as MIME.
// https://learn.microsoft.com/graph/api/user-sendmail

import type { ServiceOutcome } from "../delivery/delivery.ts";
import type { RequestBody } from "../http/client.ts";
import type { ServiceUrl } from "../http/service_url.ts";
import { sent } from "./graph_errors.ts";
import type { GraphClient } from "./graph_client.ts";

export interface SendMail {
  readonly service: ServiceUrl;
  /** The sending mailbox: an address or an object id. */
  readonly sender: string;
  /** The message in base64. */
  readonly body: RequestBody;
  /** The submission's id, for the reply. */
  readonly id: string;
}

const HEADERS = { "Content-Type": "text/plain" };
/** Only this status means that Graph has accepted the message; not even 200 does. */
const ACCEPTED = [202];

export async function sendMail(
  graph: GraphClient,
  { service, sender, body, id }: SendMail,
): Promise<ServiceOutcome> {
  const result = await graph.request({
    method: "POST",
    url: service.at(`/v1.0/users/${encodeURIComponent(sender)}/sendMail`),
    headers: HEADERS,
    body,
    authorized: true,
    submits: true,
  }, ACCEPTED);
  if (result.type === "failed") return result.outcome;
  return sent(id, result.response);
}
