// A burst of 200 messages of one mailbox, while Graph takes two seconds for each and four at once:
// a hundred seconds at best, and no message may fail or arrive twice.

import { burst, CLIENTS, MESSAGES } from "../tests/end_to_end/burst.ts";
import { SHIPPED, SOURCE } from "../tests/end_to_end/programs.ts";

export async function burstOfOneMailbox(): Promise<void> {
  for (const program of new Set([SOURCE, SHIPPED])) {
    const { replies, arrived, throttled, mostInFlight, seconds } = await burst(program, {
      delay: 2000,
    });
    const ok = replies.filter((reply) => reply.startsWith("250")).length;
    const twice = arrived.length - new Set(arrived.map((m) => `${m.client} ${m.number}`)).size;
    console.log(
      `${program.name}: ${ok} of ${CLIENTS * MESSAGES} got 250, ${twice} arrived twice, ` +
        `${throttled} throttled, ${mostInFlight} at once, ${seconds.toFixed(1)} s (at best 100)`,
    );
  }
}
