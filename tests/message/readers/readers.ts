/** The authors that independent mail readers find in From and Sender. */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { simpleParser } from "mailparser";
import PostalMime, { type Address, addressParser } from "postal-mime";

/** By reader; an address for each author, as the reader returns it. */
export type Found = Readonly<
  Record<"from" | "sender", Readonly<Record<string, readonly string[]>>>
>;

interface Mailbox {
  readonly address?: string | undefined;
  readonly group?: readonly Mailbox[] | undefined;
}

/** @param headers each with its empty line */
export async function readersOf(headers: readonly Buffer[]): Promise<Found[]> {
  const python = await readByPython(headers);
  const found: Found[] = [];
  for (const [i, header] of headers.entries()) {
    const [postal, nodemailer] = await Promise.all([
      PostalMime.parse(header),
      simpleParser(header),
    ]);
    const read = (name: "from" | "sender") => ({
      "postal-mime": [
        ...addresses(postal[name] === undefined ? [] : [postal[name]]),
        ...postal.headers.filter(({ key }) => key === name)
          .flatMap(({ value }) => addresses(addressParser(value))),
      ],
      mailparser: addresses(mailboxesOf(nodemailer.headers.get(name))),
      ...python?.[i]?.[name],
    });
    found.push({ from: read("from"), sender: read("sender") });
  }
  return found;
}

function mailboxesOf(header: unknown): readonly Mailbox[] {
  return (header as { readonly value?: readonly Mailbox[] } | undefined)?.value ?? [];
}

function addresses(list: readonly (Address | Mailbox)[]): string[] {
  return list.flatMap(({ address, group }) => [
    ...(address === undefined || address === "" ? [] : [address]),
    ...addresses(group ?? []),
  ]);
}

/** One process for all. @returns undefined without Python 3 */
async function readByPython(headers: readonly Buffer[]): Promise<readonly Found[] | undefined> {
  const script = fileURLToPath(new URL("authors.py", import.meta.url));
  const child = spawn("python3", ["-I", script], { stdio: ["pipe", "pipe", "inherit"] });
  const { promise, resolve } = Promise.withResolvers<readonly Found[] | undefined>();
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => output += text);
  child.on("error", () => resolve(undefined));
  child.on("close", (status) => resolve(status === 0 ? JSON.parse(output) : undefined));
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(headers.map((header) => header.toString("base64"))));
  return await promise;
}

/** Whether Python 3 is available. */
export async function hasPython(): Promise<boolean> {
  return await readByPython([]) !== undefined;
}
