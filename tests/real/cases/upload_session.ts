// Requests of an upload session, as the cases make them.
// https://learn.microsoft.com/graph/api/attachment-createuploadsession

import type { Bench } from "../bench.ts";
import type { Answer } from "../reach.ts";

/** Opens a session for a file of so many octets on a draft of the sender. */
export async function openSession(bench: Bench, draft: string, size: number) {
  const path = `/messages/${encodeURIComponent(draft)}/attachments/createUploadSession`;
  const answer = await bench.mailboxes.of(bench.address("sender"), path, {
    method: "POST",
    json: { AttachmentItem: { attachmentType: "file", name: "upload.bin", size } },
  });
  return { answer, url: String(answer.json.uploadUrl ?? "") };
}

/** Sends octets of a file to the session's own URL, which needs no token. */
export function put(
  bench: Bench,
  url: string,
  octets: Uint8Array,
  start: number,
  total: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return bench.reach.ask(url, {
    method: "PUT",
    headers: {
      "Content-Type": "application/octet-stream",
      "Content-Range": `bytes ${start}-${start + octets.length - 1}/${total}`,
      ...headers,
    },
    body: octets,
  });
}
