// How large a request and a message may be.

import { type Case, unseen } from "../case.ts";
import { bySubject } from "../mailbox.ts";
import { octets, ofSize, withFiles } from "../mime.ts";
import { type Answer, shown } from "../reach.ts";

/** Octets of base64 in one sendMail request, without line breaks. */
const REQUESTS = [
  [3_999_996, true, "size.default"],
  [4_000_000, true, "size.default"],
  [4_194_300, true, "size.limit"],
  [4_194_304, true, "size.limit"],
  [4_194_308, false, "size.limit"],
  [4_400_000, false, "size.limit"],
] as const;

/** Octets of a file in a message through the relay, and the reply. */
const FILES = [
  [2_000_000, /^250 /, "250: one request"],
  [2_900_000, /^250 /, "250: one request"],
  [3_100_000, /^250 /, "250: a draft and an upload session"],
  [5_000_000, /^250 /, "250: a draft and an upload session"],
  [25_000_000, /^250 /, "250: within 35 MB, by which Exchange may mean the base64"],
  [34_000_000, /^(?:250 |552 5\.2\.3 )/, "250, or 552 5.2.3 if the base64 counts"],
  [37_000_000, /^552 5\.2\.3 .*ErrorMessageSizeExceeded/, "552 5.2.3 ErrorMessageSizeExceeded"],
] as const;

/** Both forms have been reported. */
const isTooLarge = ({ status, body }: Answer) =>
  status === 413 || status === 400 && body.includes("4MB");

export const SIZES: readonly Case[] = [
  ...REQUESTS.map(([size, isTaken, fact]): Case => ({
    id: `sizes.request-${size}`,
    question: `Does sendMail take ${size} octets of base64?`,
    expected: isTaken ? "202" : "413, or 400 with the words 4MB",
    fact,
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const { raw: _, ...draft } = bench.short(`sizes.request-${size}`);
      const answer = await bench.sendMail(
        this.sends,
        "second",
        bench.address("sender"),
        ofSize(draft, size),
      );
      const isRefused = isTooLarge(answer);
      if (answer.status !== 202 && !isRefused) unseen(shown(answer));
      return { agrees: isTaken ? answer.status === 202 : isRefused, seen: shown(answer) };
    },
  })),
  {
    id: "sizes.wrapped",
    question: "Do line breaks in the base64 count towards the limit?",
    expected: "413 or 400: 4,102,564 octets, and 107,962 of line breaks",
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const { raw: _, ...draft } = bench.short("sizes.wrapped");
      const base64 = ofSize(draft, 4_102_564).toString("base64").replace(/.{76}/g, "$&\r\n");
      const answer = await bench.sendMail(this.sends, "second", bench.address("sender"), base64);
      if (answer.status !== 202 && !isTooLarge(answer)) unseen(shown(answer));
      return { agrees: isTooLarge(answer), seen: shown(answer) };
    },
  },
  ...FILES.map(([size, reply, expected]): Case => ({
    id: `sizes.file-${size}`,
    question: `Does a message with a file of ${size} octets arrive, and the file whole?`,
    expected,
    ...(reply.source.startsWith("^552") ? { fact: "size.exceeded" } : {}),
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const { raw, subject } = bench.short(`sizes.file-${size}`, {
        content: withFiles([{ filename: 'filename="large.bin"', octets: octets(size) }]),
      });
      const sent = await bench.relay(this.sends, ["second"], { raw });
      const isExpected = reply.test(sent.reply);
      const seen = `${sent.reply}; after ${Math.round(sent.took / 1000)} s`;
      if (!/^(?:250|552) /.test(sent.reply)) unseen(seen);
      if (!sent.reply.startsWith("250 ")) return { agrees: isExpected, seen };
      const address = bench.address("second");
      const copy = await bench.mailboxes.wait(address, bySubject(subject));
      if (copy === undefined) return { agrees: false, seen: `${seen}; it did not arrive` };
      const files = await bench.mailboxes.files(address, copy);
      const content = files[0] && await bench.mailboxes.fileContent(address, copy, files[0]);
      const isWhole = content?.equals(octets(size)) === true;
      return {
        agrees: isExpected && isWhole,
        seen: `${seen}; a file of ${content?.length ?? 0} octets, ${isWhole ? "whole" : "changed"}`,
      };
    },
  })),
];
