// Puts an attachment on a draft: a small one in one request, a large one by an upload session.
//
// https://learn.microsoft.com/graph/api/message-post-attachments

import type { NotSent } from "../delivery/delivery.ts";
import type { RequestBody } from "../http/client.ts";
import type { Attachment } from "./extract_attachments.ts";
import { base64Parts } from "./base64_body.ts";
import type { GraphClient } from "./graph_client.ts";
import { type Draft, IMMUTABLE_ID, withoutPermission } from "./drafts.ts";
import { asciiJson } from "./json.ts";
import { failedAt, notSent } from "./not_sent.ts";
import { uploadInSession } from "./upload_session.ts";

/**
 * Octets of a request with an attachment at most; larger ones need a session. Graph's pages name 3
 * MB of attachment and do not say which megabytes; a session reports an attachment that is too
 * small.
 */
const REQUEST_LIMIT = 4_000_000;
/** https://learn.microsoft.com/graph/outlook-large-attachments#errors */
const TOO_SMALL = "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize";

/** @returns the reason if it could not be attached */
export async function attach(
  graph: GraphClient,
  draft: Draft,
  attachment: Attachment,
): Promise<NotSent | undefined> {
  const body = fileAttachment(attachment);
  if (body.length <= REQUEST_LIMIT) return await attachInOneRequest(graph, draft, body);
  const failure = await uploadInSession(graph, draft, attachment);
  return failure?.code === TOO_SMALL ? await attachInOneRequest(graph, draft, body) : failure;
}

/** If the response is lost, the request is not repeated: the attachment could be there twice. */
async function attachInOneRequest(
  graph: GraphClient,
  draft: Draft,
  body: RequestBody,
): Promise<NotSent | undefined> {
  const result = await graph.request({
    method: "POST",
    url: new URL(`${draft.url}/attachments`),
    headers: { "Content-Type": "application/json", ...IMMUTABLE_ID },
    body,
    authorized: true,
    submits: false,
  }, [201]);
  if (result.type === "response") return undefined;
  const { outcome, result: response } = result;
  const gone = response?.type === "response" && response.status === 404;
  const meant = gone ? notSent("DRAFT_GONE", outcome) : withoutPermission(outcome, response);
  return failedAt("attaching", meant ?? outcome);
}

/** The resource fileAttachment, with its content encoded while it is sent. */
function fileAttachment(attachment: Attachment): RequestBody {
  const { name, contentType, contentId, inline, size } = attachment;
  const head = asciiJson({
    "@odata.type": "#microsoft.graph.fileAttachment",
    name,
    contentType,
    isInline: inline,
    ...(contentId === undefined ? {} : { contentId }),
  });
  const before = `${head.slice(0, -1)},"contentBytes":"`;
  const after = `"}`;
  return {
    length: before.length + 4 * Math.ceil(size / 3) + after.length,
    *parts() {
      yield before;
      yield* base64Parts(attachment.octets(true));
      yield after;
    },
  };
}
