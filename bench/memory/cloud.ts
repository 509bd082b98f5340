// The simulated cloud as a separate process. Prints its address, then a line of JSON for each
// message that arrives: the files that came by upload.

import { startCloud } from "../../tests/support/cloud.ts";

const cloud = await startCloud();
cloud.inbox.subscribe((event) => {
  if (event.type !== "message") return;
  const { uploads } = cloud.inbox.get(event.summary.id)!;
  console.log(JSON.stringify(uploads.map(({ name, sha256 }) => ({ name, sha256 }))));
  // Empties the inbox for the next message.
  cloud.inbox.clear();
});
console.log(cloud.url);
