// Where a message is after it was sent: Sent Items, Drafts, and the look-ups of QUEUE_AMBIGUOUS=ask.

import { setTimeout as pause } from "node:timers/promises";
import { createDraft } from "../bench.ts";
import { type Case, unseen } from "../case.ts";
import { byMessageId } from "../mailbox.ts";
import { octets, withFiles } from "../mime.ts";
import { shown } from "../reach.ts";

const seconds = (time: number) => `${Math.round(time / 1000)} s`;
/** Milliseconds between questions for a trace, and for all of them. */
const TRACE_PAUSE = 30_000;
const TRACE_PATIENCE = 20 * 60_000;

export const FOUND: readonly Case[] = [
  {
    id: "found.sent-items",
    question: "Is a message kept in Sent Items, and found by its Message-ID, once, and how soon?",
    expected: "once, in Sent Items, unasked, within the minute after which `ask` looks",
    fact: "message-id.kept",
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const { raw, messageId } = bench.short("found.sent-items");
      const { reply } = await bench.relay(this.sends, ["second"], { raw });
      if (!reply.startsWith("250 ")) unseen(reply);
      const address = bench.address("sender");
      const copies = await bench.mailboxes.waitFor(address, byMessageId(messageId), 1);
      const [copy] = copies;
      if (copy === undefined) return { agrees: false, seen: `${reply}; not found` };
      const folder = await bench.mailboxes.of(
        address,
        `/messages/${encodeURIComponent(copy.id)}?$select=parentFolderId`,
      );
      const sent = await bench.mailboxes.of(address, "/mailFolders/sentitems?$select=id");
      const isThere = folder.json.parentFolderId === sent.json.id;
      return {
        agrees: copies.length === 1 && copy.after < 60_000 && isThere,
        seen: `${copies.length} found after ${seconds(copy.after)}, in ${
          isThere ? "Sent Items" : "another folder"
        }`,
      };
    },
  },
  {
    id: "found.check",
    question: "Does `check` find its own test message?",
    expected: "message.found",
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      bench.spend(this.sends, "second");
      const [from, to] = [bench.address("sender"), bench.address("second")];
      const { stdout } = await bench.relays.command(
        ["check", "--json", "--from", from, "--to", to, ...await bench.relays.checkLogin()],
        {
          DELIVERY_MODE: "queue",
          QUEUE_AMBIGUOUS: "ask",
          QUEUE_URL: `sqlite:${bench.relays.folder}/check.db`,
          QUEUE_KEY: bench.queueKey,
        },
      );
      const { findings = [] } = stdout === "" ? {} : JSON.parse(stdout);
      const codes: string[] = findings.map(({ code }: { code: string }) => code);
      // Its message has a subject of its own.
      const [messageId] = /<check-[^>]+>/.exec(stdout) ?? [];
      for (const box of messageId === undefined ? [] : [from, to]) {
        await bench.mailboxes.clearMessage(box, messageId!);
      }
      return {
        agrees: codes.includes("message.found"),
        seen: codes.filter((code) => /^(?:login|message)\./.test(code)).join(", ") || "no findings",
      };
    },
  },
  {
    id: "found.immutable-id",
    question: "Does a draft keep its immutable id when it is sent?",
    expected: "the same id names the copy in Sent Items, which is no draft",
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const prefer = { Prefer: 'IdType="ImmutableId"' };
      const draft = await createDraft(bench, "found.immutable-id", prefer);
      const address = bench.address("sender");
      const path = `/messages/${encodeURIComponent(draft.id)}`;
      bench.spend(this.sends, "second");
      const sent = await bench.mailboxes.of(address, `${path}/send`, { method: "POST" });
      if (sent.status !== 202) unseen(shown(sent));
      const begun = performance.now();
      // The copy may be in Drafts for some seconds more.
      for (let turn = 0;; turn++) {
        const answer = await bench.mailboxes.of(address, `${path}?$select=isDraft`, {
          headers: prefer,
        });
        const isSent = answer.status === 200 && answer.json.isDraft === false;
        if (isSent || turn === 10) {
          const seen = `${shown(answer)}, isDraft ${answer.json.isDraft}`;
          return { agrees: isSent, seen: `${seen}, after ${seconds(performance.now() - begun)}` };
        }
        await pause(Math.min(500 * turn, bench.patience));
      }
    },
  },
  {
    id: "found.no-draft-left",
    question: "Is no draft left of a message that was sent with uploaded files?",
    expected: "one copy, which is no draft",
    needs: [],
    sends: { second: 1 },
    async run(bench) {
      const { raw, messageId } = bench.short("found.no-draft-left", {
        content: withFiles([{ filename: "filename=file.bin", octets: octets(50_000) }]),
      });
      const variables = { GRAPH_REQUEST_LIMIT: "20000" };
      const { reply } = await bench.relay(this.sends, ["second"], { raw, variables });
      if (!reply.startsWith("250 ")) unseen(reply);
      const address = bench.address("sender");
      await bench.mailboxes.wait(address, byMessageId(messageId));
      const copies = await bench.mailboxes.list(address, byMessageId(messageId));
      const drafts = copies.filter(({ isDraft }) => isDraft).length;
      return {
        agrees: copies.length === 1 && drafts === 0,
        seen: `${reply}; ${copies.length} copies, ${drafts} of them drafts`,
      };
    },
  },
  {
    id: "found.trace",
    question: "After how long does Graph's message trace know a message?",
    expected: "after minutes",
    fact: "trace.delay",
    needs: ["messageTrace"],
    sends: { second: 1 },
    async run(bench) {
      const { raw, messageId } = bench.short("found.trace");
      const { reply } = await bench.relay(this.sends, ["second"], { raw });
      const begun = performance.now();
      const filter = encodeURIComponent(`messageId eq '${messageId}'`);
      for (;;) {
        const path = `/admin/exchange/tracing/messageTraces?$filter=${filter}`;
        const answer = await bench.mailboxes.ask(path);
        const took = performance.now() - begun;
        if (answer.status !== 200) unseen(`${reply}; ${shown(answer)}`);
        if (answer.json.value?.length > 0) {
          return { agrees: took > 60_000, seen: `after ${seconds(took)}` };
        }
        if (took > TRACE_PATIENCE) return { agrees: true, seen: `not after ${seconds(took)}` };
        await pause(Math.min(TRACE_PAUSE, bench.patience));
      }
    },
  },
];
