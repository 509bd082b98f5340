// Upload sessions: for which sizes, in which order, and what ends them. Each case deletes its draft; one
// sends it.

import { type Bench, createDraft } from "../bench.ts";
import { type Case, NOTHING, type Seen, unseen } from "../case.ts";
import { bySubject } from "../mailbox.ts";
import { octets } from "../mime.ts";
import { shown } from "../reach.ts";
import { openSession, put } from "./upload_session.ts";

const SIZE = 3_300_000;
const FIRST = 1_000_000;
const FILE = octets(SIZE);

/** Octets for which a session is opened, or not. */
const SIZES = [
  [2_999_999, false, "upload.least"],
  [3_000_000, true, "upload.least"],
  [3_145_728, true, "upload.least"],
  [157_286_400, true, "upload.most"],
  [157_286_401, false, "upload.most"],
] as const;

/** Octets of a file in one request, and whether it is taken. */
const ATTACHED = [[2_999_000, true], [3_145_728, false]] as const;

async function onDraft(
  bench: Bench,
  id: string,
  look: (draft: string) => Promise<Seen>,
): Promise<Seen> {
  const draft = await createDraft(bench, id);
  if (draft.answer.status !== 201) unseen(`no draft: ${shown(draft.answer)}`);
  try {
    return await look(draft.id);
  } finally {
    const path = `/messages/${encodeURIComponent(draft.id)}`;
    await bench.mailboxes.of(bench.address("sender"), path, { method: "DELETE" });
  }
}

/** What a session answers to a row of requests, each as `status code`. */
function talk(
  id: string,
  question: string,
  expected: string,
  requests: (bench: Bench, url: string) => Promise<readonly string[]>,
  agrees: RegExp,
): Case {
  return {
    id: `uploads.${id}`,
    question,
    expected,
    needs: [],
    sends: NOTHING,
    run: (bench) =>
      onDraft(bench, `uploads.${id}`, async (draft) => {
        const { answer, url } = await openSession(bench, draft, SIZE);
        if (answer.status !== 201) unseen(`no session: ${shown(answer)}`);
        const seen = (await requests(bench, url)).join(", then ");
        return { agrees: agrees.test(seen), seen };
      }),
  };
}

export const UPLOADS: readonly Case[] = [
  ...SIZES.map(([size, isOpened, fact]): Case => ({
    id: `uploads.size-${size}`,
    question: `Is a session opened for ${size} octets?`,
    expected: isOpened ? "201" : "400 or 413",
    fact,
    needs: [],
    sends: NOTHING,
    run: (bench) =>
      onDraft(bench, `uploads.size-${size}`, async (draft) => {
        const { answer, url } = await openSession(bench, draft, size);
        if (url !== "") await bench.reach.ask(url, { method: "DELETE" });
        const isRefused = answer.status === 400 || answer.status === 413;
        if (answer.status !== 201 && !isRefused) unseen(shown(answer));
        return { agrees: isOpened ? answer.status === 201 : isRefused, seen: shown(answer) };
      }),
  })),
  ...ATTACHED.map(([size, isTaken]): Case => ({
    id: `uploads.attach-${size}`,
    question: `Is a file of ${size} octets taken in one request, without a session?`,
    expected: isTaken ? "201" : "413 or 400: its base64 is over 4 MB",
    needs: [],
    sends: NOTHING,
    run: (bench) =>
      onDraft(bench, `uploads.attach-${size}`, async (draft) => {
        const path = `/messages/${encodeURIComponent(draft)}/attachments`;
        const answer = await bench.mailboxes.of(bench.address("sender"), path, {
          method: "POST",
          json: {
            "@odata.type": "#microsoft.graph.fileAttachment",
            name: "attached.bin",
            contentBytes: octets(size).toString("base64"),
          },
        });
        const isRefused = answer.status === 400 || answer.status === 413;
        if (answer.status !== 201 && !isRefused) unseen(shown(answer));
        return { agrees: isTaken ? answer.status === 201 : isRefused, seen: shown(answer) };
      }),
  })),
  talk(
    "in-order",
    "Does a file arrive in two ranges, the second after a question for the state?",
    "200, then a state that names the next octet, then 201",
    async (bench, url) => {
      const one = await put(bench, url, FILE.subarray(0, FIRST), 0, SIZE);
      const state = await bench.reach.ask(url);
      const ranges = JSON.stringify(state.json.nextExpectedRanges ?? state.json.NextExpectedRanges);
      const two = await put(bench, url, FILE.subarray(FIRST), FIRST, SIZE);
      return [shown(one), `${shown(state)} ${ranges}`, shown(two)];
    },
    /^200, then 200 \["1000000-?\d*"\], then 201$/,
  ),
  talk(
    "out-of-order",
    "Is a range that is not the next one refused?",
    "416 InvalidRange",
    async (bench, url) => [shown(await put(bench, url, FILE.subarray(FIRST), FIRST, SIZE))],
    /^416/,
  ),
  talk(
    "repeated",
    "What becomes of a range that is sent again, as after a lost answer?",
    "200, then 416; the relay asks for the state and goes on",
    async (bench, url) => [
      shown(await put(bench, url, FILE.subarray(0, FIRST), 0, SIZE)),
      shown(await put(bench, url, FILE.subarray(0, FIRST), 0, SIZE)),
    ],
    /^200, then (?:416|200)/,
  ),
  talk(
    "total",
    "Is a range with another total size refused?",
    "400 or 416",
    async (bench, url) => [shown(await put(bench, url, FILE.subarray(0, FIRST), 0, SIZE + 1))],
    /^4(?:00|16)/,
  ),
  talk(
    "token",
    "Is a token in a request to the session's URL refused?",
    "401: the documentation forbids it",
    async (bench, url) => {
      const { value } = await bench.token(bench.graphScope);
      const headers = { Authorization: `Bearer ${value}` };
      return [shown(await put(bench, url, FILE.subarray(0, FIRST), 0, SIZE, headers))];
    },
    /^40[01]/,
  ),
  talk(
    "ended",
    "What does a session that has been ended answer?",
    "204, then 404, as one that has expired",
    async (bench, url) => [
      shown(await bench.reach.ask(url, { method: "DELETE" })),
      shown(await put(bench, url, FILE.subarray(0, FIRST), 0, SIZE)),
    ],
    /^204, then 4(?:04|10)/,
  ),
  {
    id: "uploads.lifetime",
    question: "How long is a session valid?",
    expected: "longer than the 9 minutes that a delivery takes at most",
    needs: [],
    sends: NOTHING,
    run: (bench) =>
      onDraft(bench, "uploads.lifetime", async (draft) => {
        const { answer } = await openSession(bench, draft, SIZE);
        const ends = Date.parse(answer.json.expirationDateTime ?? "");
        const minutes = Math.round((ends - Date.now()) / 60_000);
        return { agrees: minutes > 9, seen: `${minutes} minutes` };
      }),
  },
  {
    id: "uploads.unfinished",
    question: "Is a draft with an unfinished upload sent without the file?",
    expected: "202, and the message has no file",
    fact: "upload.unfinished",
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const draft = await createDraft(bench, "uploads.unfinished");
      const { url } = await openSession(bench, draft.id, SIZE);
      const first = await put(bench, url, FILE.subarray(0, FIRST), 0, SIZE);
      bench.spend(this.sends, "second");
      const path = `/messages/${encodeURIComponent(draft.id)}/send`;
      const answer = await bench.mailboxes.of(bench.address("sender"), path, { method: "POST" });
      if (answer.status !== 202) unseen(shown(answer));
      const address = bench.address("second");
      const copy = await bench.mailboxes.wait(address, bySubject(draft.subject));
      const files = copy && await bench.mailboxes.files(address, copy);
      return {
        agrees: files?.length === 0,
        seen: `${shown(first)}, then ${shown(answer)}; ${files?.length ?? "no message, no"} files`,
      };
    },
  },
];
