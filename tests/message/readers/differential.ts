/**
 * Generated From and Sender fields through the relay's checks, then the authors that readers find:
 * only those that the relay has accepted.
 */
import { Buffer } from "node:buffer";
import { octetsIn } from "../../../src/message/lazy_piece.ts";
import { addressKey } from "../../../src/message/addresses.ts";
import type { SenderOverride } from "../../../src/message/originator.ts";
import { SenderList } from "../../../src/accounts/sender_list.ts";
import { Random } from "../../fuzz/engine/random.ts";
import { envelope, OPTIONS, prepareMessage } from "../../graph/preparing.ts";
import { ALLOWED, fieldBody } from "./fields.ts";
import { readersOf } from "./readers.ts";

const LIST = SenderList.parse(ALLOWED.join())!;
const OWN = "own@sender.example";

/** Accounts with restricted senders. */
const ACCOUNTS: Readonly<Record<string, SenderOverride>> = {
  "a list": { restricted: true },
  "from_email": { fromEmail: OWN },
  "from_email and a list": { fromEmail: OWN, restricted: true },
};

export interface Difference {
  readonly account: string;
  /** The received fields, one character per octet. */
  readonly fields: string;
  /** The header as it would have been sent. */
  readonly sent: string;
  readonly field: string;
  readonly reader: string;
  readonly found: readonly string[];
}

export interface Comparison {
  /** Messages that the relay has accepted. */
  readonly sent: number;
  readonly refused: number;
  /** Addresses that the readers have found. */
  readonly found: number;
  readonly differences: readonly Difference[];
}

/** What the relay has accepted. */
interface Sent {
  readonly account: string;
  readonly fields: string;
  readonly header: Buffer;
  readonly allowed: ReadonlySet<string>;
}

/** The message after the relay; undefined if refused. */
function submitted(fields: string, account: string, from: string): Sent | undefined {
  const message = [Buffer.from(`To: c@x.test\r\n${fields}\r\nText`, "latin1")];
  const result = prepareMessage(message, envelope(["c@x.test"], from), {
    ...OPTIONS,
    account: ACCOUNTS[account]!,
  });
  if (result.type === "rejected") return undefined;
  const named = [{ text: result.sender, unambiguous: true }, ...result.named()];
  const own = ACCOUNTS[account]!.fromEmail !== undefined;
  if (!own && !named.every(({ text, unambiguous }) => unambiguous && LIST.allows(text))) {
    return undefined;
  }
  const octets = Buffer.concat([...octetsIn(result.content)]);
  const header = octets.subarray(0, octets.indexOf("\r\n\r\n") + 4);
  return { account, fields, header, allowed: new Set(named.map(({ text }) => addressKey(text))) };
}

/** @param bodies From and, if present, Sender */
export async function compare(
  bodies: readonly (readonly [from: string, sender?: string])[],
): Promise<Comparison> {
  const sent: Sent[] = [];
  let refused = 0;
  for (const [from, sender] of bodies) {
    const fields = `From:${from}\r\n${sender === undefined ? "" : `Sender:${sender}\r\n`}`;
    for (const account of Object.keys(ACCOUNTS)) {
      for (const path of account === "a list" ? [ALLOWED[0]!, ""] : [ALLOWED[0]!]) {
        const through = submitted(fields, account, path);
        if (through === undefined) refused++;
        else sent.push(through);
      }
    }
  }
  // Many end in the same octets.
  const headers = new Map(sent.map(({ header }) => [header.toString("latin1"), header]));
  const list = await readersOf([...headers.values()]);
  const readings = new Map([...headers.keys()].map((header, i) => [header, list[i]!]));
  const differences: Difference[] = [];
  let count = 0;
  for (const { account, fields, header, allowed } of sent) {
    const text = header.toString("latin1");
    for (const [field, readers] of Object.entries(readings.get(text)!)) {
      for (const [reader, found] of Object.entries(readers)) {
        count += found.length;
        if (found.every((address) => allowed.has(addressKey(address)))) continue;
        differences.push({
          account,
          fields,
          sent: text,
          field,
          reader,
          found,
        });
      }
    }
  }
  return { sent: sent.length, refused, found: count, differences };
}

/** Fields made from a seed. */
export function generated(seed: number, count: number): [from: string, sender?: string][] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => {
    const from = random.below(4) === 0 ? ` ${random.pick(ALLOWED)}` : fieldBody(random);
    return random.below(3) === 0 ? [from, fieldBody(random)] : [from];
  });
}

/** A difference as a test or bench shows it. */
export function shown({ account, fields, sent, field, reader, found }: Difference): string {
  const [own = ""] = /^(?:from|sender):.*(?:\r\n[ \t].*)*/im.exec(
    sent.slice(sent.search(new RegExp(`^${field}:`, "im"))),
  ) ?? [];
  return `${reader} finds ${JSON.stringify(found)} in ${JSON.stringify(own)} of an account with ` +
    `${account}, made of ${JSON.stringify(fields)}`;
}
