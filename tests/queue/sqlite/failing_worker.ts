// Opens the queue as the store's worker does, and fails at the first request.

import { parentPort } from "node:worker_threads";

parentPort!.on("message", () => {
  throw new Error("out of luck");
});
parentPort!.postMessage({
  opened: {
    messages: { queued: 0, sending: 0, held: 0, dead: 0 },
    octets: 0,
    oldest: undefined,
    oldestDead: undefined,
  },
});
