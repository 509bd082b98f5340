// Tries the rights that a queue in a storage account needs, beside the relays that use it.

import { randomUUID } from "node:crypto";
import { type AzureQueueOptions, openParts } from "./open.ts";
import { BLOB_ROLE, once, QUEUE_ROLE, repeated } from "./service_error.ts";

/** Seconds that the pointer is hidden, and that it exists: no relay receives it. */
const HIDDEN = 60;
const EXISTS = 61;

/**
 * Writes a blob and a pointer that no relay looks at, and deletes both.
 *
 * @throws ServiceError
 */
export async function probeAzureQueue(options: AzureQueueOptions): Promise<void> {
  const { container, queue, clock } = await openParts(options);
  const blobs = { host: new URL(container.url).host, role: BLOB_ROLE };
  const queues = { host: new URL(queue.url).host, role: QUEUE_ROLE };
  // A note that is forgotten already: should it stay, a relay deletes it.
  const blob = container.getBlockBlobClient(`notes/check-${randomUUID()}`);
  await repeated(blobs, clock, () => blob.upload("", 0, { metadata: { until: "0" } }));
  await repeated(blobs, clock, () => blob.deleteIfExists());
  const { messageId, popReceipt } = await once(
    queues,
    () => queue.sendMessage("check", { visibilityTimeout: HIDDEN, messageTimeToLive: EXISTS }),
  );
  await once(queues, () => queue.deleteMessage(messageId, popReceipt));
}
