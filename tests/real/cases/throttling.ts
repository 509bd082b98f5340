// How many requests at once Graph takes, and what it says to more. Drafts and uploads only: no mail.

import { Buffer } from "node:buffer";
import { type Bench, createDraft } from "../bench.ts";
import { type Case, NOTHING, unseen } from "../case.ts";
import { type Answer, shown } from "../reach.ts";
import { octets } from "../mime.ts";
import type { Role } from "../settings.ts";
import { openSession, put } from "./upload_session.ts";

/** Requests at once; four are allowed. */
const BURST = 16;

/** Creates so many drafts at once, of 200 kB for them to take a while. */
function burst(bench: Bench, role: Role, count: number): Promise<readonly Answer[]> {
  const body = Buffer.from(`Subject: ${bench.subjects} burst\r\n\r\n${"x".repeat(150_000)}`)
    .toString("base64");
  const headers = { "Content-Type": "text/plain" };
  return Promise.all(
    Array.from(
      { length: count },
      () => bench.mailboxes.of(bench.address(role), "/messages", { method: "POST", headers, body }),
    ),
  );
}

async function clear(bench: Bench, role: Role, answers: readonly Answer[]): Promise<void> {
  for (const { status, json } of answers) {
    if (status !== 201) continue;
    const path = `/messages/${encodeURIComponent(json.id)}`;
    await bench.mailboxes.of(bench.address(role), path, { method: "DELETE" });
  }
}

/** @throws Error if none was accepted: then the limit was not what refused them */
function counted(answers: readonly Answer[]): string {
  if (!answers.some(({ status }) => status === 201)) unseen(shown(answers[0]!));
  const counts = new Map<string, number>();
  for (const answer of answers) {
    const key = shown(answer);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]) => `${count} times ${key}`).join(", ");
}

const throttled = (answers: readonly Answer[]) => answers.filter(({ status }) => status === 429);

export const THROTTLING: readonly Case[] = [
  {
    id: "throttling.burst",
    question: `Does Graph refuse some of ${BURST} requests at once, and say when to try again?`,
    expected: "429 ApplicationThrottled with Retry-After, in seconds",
    needs: [],
    sends: NOTHING,
    async run(bench) {
      const answers = await burst(bench, "sender", BURST);
      await clear(bench, "sender", answers);
      const refused = throttled(answers);
      const after = refused.map(({ headers }) => headers.get("retry-after") ?? "none");
      return {
        agrees: refused.length > 0 &&
          refused.every(({ code }) => code === "ApplicationThrottled") &&
          after.every((text) => /^\d+$/.test(text)),
        seen: `${counted(answers)}; Retry-After: ${[...new Set(after)].join(", ") || "not needed"}`,
      };
    },
  },
  {
    id: "throttling.two-mailboxes",
    question: "Are four requests at once allowed for each of two mailboxes?",
    expected: "no 429: the limit is that of an app and a mailbox",
    needs: [],
    sends: NOTHING,
    async run(bench) {
      const [one, other] = await Promise.all([
        burst(bench, "sender", 4),
        burst(bench, "second", 4),
      ]);
      await clear(bench, "sender", one);
      await clear(bench, "second", other);
      const answers = [...one, ...other];
      return { agrees: throttled(answers).length === 0, seen: counted(answers) };
    },
  },
  {
    id: "throttling.uploads",
    question: "Do uploads count among the requests at once?",
    expected: "429 for some of eight uploads at once",
    fact: "throttle.uploads",
    needs: [],
    sends: NOTHING,
    async run(bench) {
      const drafts = [];
      for (let i = 0; i < 8; i++) drafts.push(await createDraft(bench, "throttling.uploads"));
      const urls = [];
      for (const { id } of drafts) urls.push((await openSession(bench, id, 3_200_000)).url);
      const file = octets(3_200_000);
      const answers = await Promise.all(urls.map((url) => put(bench, url, file, 0, 3_200_000)));
      await clear(bench, "sender", drafts.map(({ answer }) => answer));
      return { agrees: throttled(answers).length > 0, seen: counted(answers) };
    },
  },
];
