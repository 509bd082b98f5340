// The simulated cloud as a separate process. Prints its address, then, on request, the messages that
// have arrived: their numbers, and whether each file arrived unchanged. Takes LargeCloud as JSON.

import process from "node:process";
import { Buffer } from "node:buffer";
import { createInterface } from "node:readline";
import { readContent } from "../../src/sandbox/inbox/message_content.ts";
import { startCloud } from "../../tests/support/cloud.ts";
import { filesFor, sha256Of } from "../../tests/support/large_message.ts";
import type { LargeArrival, LargeCloud } from "./scenario.ts";

const { octets } = JSON.parse(process.argv[2]!) as LargeCloud;
const expected = filesFor(octets).map((file) => `${file.name} ${sha256Of(file)}`).sort();
/** What has arrived. It is parsed at the end, because parsing would delay responses. */
const arrived: { number: number; raw: Uint8Array; uploads: string[] }[] = [];
const cloud = await startCloud();
cloud.inbox.subscribe((event) => {
  if (event.type !== "message") return;
  const { raw, uploads } = cloud.inbox.get(event.summary.id)!;
  // Frees the memory of uploads for the next ones.
  cloud.inbox.clear();
  const head = Buffer.from(raw.subarray(0, 4096)).toString("latin1");
  const number = /^X-Attack: (\d+)/m.exec(head)?.[1];
  if (number === undefined) return;
  const files = uploads.map(({ name, sha256 }) => `${name} ${sha256}`);
  arrived.push({ number: Number(number), raw, uploads: files });
});
console.log(cloud.url);
createInterface(process.stdin).on("line", async () => {
  const arrivals: LargeArrival[] = [];
  for (const { number, raw, uploads } of arrived) {
    const { attachments } = await readContent(raw);
    const files = [
      ...attachments.map(({ filename, sha256 }) => `${filename} ${sha256}`),
      ...uploads,
    ];
    arrivals.push({ number, right: JSON.stringify(files.sort()) === JSON.stringify(expected) });
  }
  console.log(JSON.stringify(arrivals));
});
