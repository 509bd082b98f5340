// A process that adds messages to a queue, and writes a line for each once it is added. What it writes
// is out when the call returns, so that a killed process has said all that it knew.
//
//   writer.ts DATABASE PREFIX COUNT ADDERS SIZE…
//
// Message number n is `PREFIX-n`, with the n-th of the sizes, which repeat. It then stays until it is
// killed. With COUNT 0 it only opens the queue. COUNT is `close` and a number: closes the queue after them.

import { writeSync } from "node:fs";
import process from "node:process";
import { openSqliteQueue } from "../../../src/queue/sqlite/sqlite_queue.ts";
import { newMessage } from "./support.ts";

const [path, prefix, countText, addersText, ...sizeTexts] = process.argv.slice(2);
const closes = countText!.startsWith("close");
const count = Number(countText!.replace("close", ""));
const sizes = sizeTexts.map(Number);

const say = (line: string) => writeSync(1, `${line}\n`);
const store = await openSqliteQueue(path!);
say("open");
let next = 0;
await Promise.all(Array.from({ length: Number(addersText) }, async () => {
  while (next < count) {
    const number = next++;
    const id = `${prefix}-${number}`;
    await store.add(newMessage(id, { sealedSize: sizes[number % sizes.length]! }));
    say(id);
  }
}));
if (closes) await store.close();
else setInterval(() => {}, 1000);
