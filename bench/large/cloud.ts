// The imitated cloud as a process of its own. Prints its address, then, told to, the messages that
// have arrived: their numbers and whether each file is as it was sent. Takes LargeCloud as JSON.

import process from "node:process";
import { Buffer } from "node:buffer";
import { createInterface } from "node:readline";
import { readContent } from "../../src/sandbox/inbox/mime.ts";
import { startCloud } from "../../tests/support/cloud.ts";
import { filesFor, sha256Of } from "../../tests/support/large_message.ts";
import type { LargeArrival, LargeCloud } from "./scenario.ts";

const { octets } = JSON.parse(process.argv[2]!) as LargeCloud;
const expected = filesFor(octets).map((file) => `${file.name} ${sha256Of(file)}`).sort();
const arrivals: Promise<LargeArrival>[] = [];
const cloud = await startCloud();
cloud.inbox.subscribe((event) => {
  if (event.type !== "message") return;
  const { raw, uploads } = cloud.inbox.get(event.summary.id)!;
  // Its memory is needed for the next.
  cloud.inbox.clear();
  const head = Buffer.from(raw.subarray(0, 4096)).toString("latin1");
  const number = /^X-Attack: (\d+)/m.exec(head)?.[1];
  if (number === undefined) return;
  arrivals.push(
    readContent(raw).then(({ attachments }) => {
      const files = [
        ...attachments.map(({ filename, sha256 }) => `${filename} ${sha256}`),
        ...uploads.map(({ name, sha256 }) => `${name} ${sha256}`),
      ].sort();
      return { number: Number(number), right: JSON.stringify(files) === JSON.stringify(expected) };
    }),
  );
});
console.log(cloud.url);
createInterface(process.stdin).on("line", async () => {
  console.log(JSON.stringify(await Promise.all(arrivals)));
});
