/**
 * Large messages, whole, with a simulation that is strict about drafts, attachments and upload
 * sessions (https://learn.microsoft.com/graph/outlook-large-attachments).
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import PostalMime from "postal-mime";
import { DeliveryClient } from "../../src/graph/graph_client.ts";
import { uploadAndSend } from "../../src/graph/upload.ts";
import { HttpClient } from "../../src/http/client.ts";
import { ServiceUrl } from "../../src/http/service_url.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { filesFor, largeMessage, sha256Of, sizeOf } from "../support/large_message.ts";
import { SCOPE } from "../support/logins.ts";
import { accountWith, fetchToken } from "../support/submissions.ts";

const http = new HttpClient();
let cloud: CloudServer;

before(async () => {
  cloud = await startCloud();
});
after(async () => {
  http.close();
  await cloud.close();
});

for (const megabytes of [5, 20, 34, 150]) {
  describe(`a message of ${megabytes} MB`, () => {
    it("arrives with each attachment's octets, name, type and content id", async () => {
      const files = filesFor(megabytes * 1_000_000);
      const message = largeMessage(files);
      assert(Math.abs(sizeOf(message) / 1e6 - megabytes) < megabytes / 100, `${sizeOf(message)}`);
      const outcome = await uploadAndSend(
        new DeliveryClient({
          http,
          scope: SCOPE,
          authorization: accountWith(await fetchToken(cloud.authority)),
          timeout: 30_000,
          deadline: performance.now() + 60_000,
        }),
        {
          service: new ServiceUrl(cloud.endpoint),
          sender: "ann@x.test",
          message,
          requestLimit: 4_000_000,
          id: "0123456789abcdef",
        },
      );
      assert.equal(outcome.type, "sent", JSON.stringify(outcome));

      const stored = cloud.inbox.get(cloud.inbox.list()[0]!.id)!;
      assert.deepEqual(stored.recipients, ["bea@x.test"]);
      const rest = await PostalMime.parse(stored.raw);
      assert.equal(rest.messageId, "<large@x.test>");
      assert.match(rest.html ?? "", /<p>Look at these\.<\/p>/);
      const arrived = [
        ...stored.uploads.map(({ name, contentType, contentId, inline, sha256 }) => ({
          name,
          contentType,
          contentId,
          inline,
          sha256,
        })),
        ...rest.attachments.map((part) => ({
          name: part.filename,
          contentType: part.mimeType,
          contentId: part.contentId?.replace(/[<>]/g, ""),
          inline: part.disposition === "inline",
          sha256: createHash("sha256").update(new Uint8Array(part.content as ArrayBuffer)).digest(
            "hex",
          ),
        })),
      ].sort((a, b) => a.contentType < b.contentType ? -1 : 1);
      assert.deepEqual(
        arrived,
        files.map((file) => ({
          name: file.name,
          contentType: file.contentType,
          contentId: file.contentId,
          inline: file.contentId !== undefined,
          sha256: sha256Of(file),
        })).sort((a, b) => a.contentType < b.contentType ? -1 : 1),
      );
    });
  });
}
