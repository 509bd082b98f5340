// From and Sender fields made to be misread, with a fresh seed each time: which author four
// mail readers find in what the relay lets through. See tests/message/author_readers_test.ts.
//
// AUTHORS_SECONDS (60), AUTHORS_SEED.

import process from "node:process";
import { compare, generated, shown } from "../tests/message/readers/differential.ts";
import { hasPython } from "../tests/message/readers/readers.ts";

/** Headers at once: each round starts one Python. */
const ROUND = 2000;

export async function authors(): Promise<void> {
  const seconds = Number(process.env["AUTHORS_SECONDS"] ?? 60);
  const first = Number(process.env["AUTHORS_SEED"] ?? Date.now() % 2 ** 31);
  if (!await hasPython()) console.log("there is no Python 3: its two parsers are left out");
  const end = performance.now() + seconds * 1000;
  let seed = first;
  let sent = 0;
  let refused = 0;
  let found = 0;
  for (; seed === first || performance.now() < end; seed++) {
    const round = await compare(generated(seed, ROUND));
    sent += round.sent;
    refused += round.refused;
    found += round.found;
    if (round.differences.length === 0) continue;
    process.exitCode = 1;
    console.log(`AUTHORS_SEED=${seed} AUTHORS_SECONDS=0 repeats this:`);
    for (const difference of round.differences.slice(0, 5)) console.log(shown(difference));
    return;
  }
  console.log(
    `seeds ${first} to ${seed - 1}: ${sent} messages let through, ${refused} refused, ` +
      `${found} addresses found by readers, none that the relay had not let through`,
  );
}
