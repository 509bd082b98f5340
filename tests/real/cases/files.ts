// Names and contents of attachments, as they arrive: in a message that goes as it is, and in one whose
// files the relay uploads to a draft.

import type { Bench } from "../bench.ts";
import { type Case, type Sends, unseen } from "../case.ts";
import { bySubject, type ListedFile } from "../mailbox.ts";
import { octets, withFiles } from "../mime.ts";
import type { Variables } from "../relays.ts";

const LONG = `${"long-name-".repeat(20)}.pdf`;
const encoded = (name: string) => `filename*=utf-8''${encodeURIComponent(name)}`;

interface Named {
  readonly id: string;
  readonly question: string;
  readonly filename: string;
  /** What a reader should see, or several of which each will do. */
  readonly names: readonly string[];
  readonly contentId?: string;
}

const NAMES: readonly Named[] = [
  {
    id: "ascii",
    question: "a plain name",
    filename: 'filename="report.pdf"',
    names: ["report.pdf"],
  },
  {
    id: "rfc2231",
    question: "a name by RFC 2231",
    filename: encoded("Prüfbericht 日本.pdf"),
    names: ["Prüfbericht 日本.pdf"],
  },
  {
    id: "rfc2231-pieces",
    question: "a name by RFC 2231 in pieces",
    filename: "filename*0*=utf-8''Pr%C3%BC; filename*1*=fung.pdf",
    names: ["Prüfung.pdf"],
  },
  {
    id: "encoded-word",
    question: "a name as an encoded word",
    filename: 'filename="=?utf-8?q?Pr=C3=BCfplan.pdf?="',
    names: ["Prüfplan.pdf"],
  },
  {
    id: "raw-utf8",
    question: "a name in octets of UTF-8",
    filename: 'filename="Prüfliste.pdf"',
    names: ["Prüfliste.pdf"],
  },
  {
    id: "emoji",
    question: "a name beyond the basic plane",
    filename: encoded("daten 😀.zip"),
    names: ["daten 😀.zip"],
  },
  { id: "long", question: "a name of 204 octets", filename: encoded(LONG), names: [LONG] },
  {
    id: "reserved",
    question: "a name with characters that Windows reserves",
    filename: encoded('a:b*c?d"e|f.pdf'),
    names: ['a:b*c?d"e|f.pdf', "a_b_c_d_e_f.pdf"],
  },
  {
    id: "inline",
    question: "an inline image with its Content-ID",
    filename: 'filename="image.png"',
    names: ["image.png"],
    contentId: "image-1@real.example",
  },
];

/** Octets of the first file; each is of another size, to be told apart by it. */
const SIZE = 30_011;

const contentOf = (at: number) => octets(SIZE + at);

/** The two ways, by the settings of the relay. With a low limit, nearly every file is uploaded. */
const WAYS: readonly { id: string; variables: Variables; sends: Sends }[] = [
  { id: "as-is", variables: {}, sends: { second: 1 } },
  { id: "uploaded", variables: { GRAPH_REQUEST_LIMIT: "20000" }, sends: { second: 1 } },
];

interface Arrived {
  readonly reply: string;
  readonly files: readonly { readonly file: ListedFile; readonly content: Uint8Array }[];
}

function arrived(bench: Bench, { id, variables, sends }: typeof WAYS[number]): Promise<Arrived> {
  return bench.once(`files.${id}`, async () => {
    const { raw, subject } = bench.short(`files.${id}`, {
      content: withFiles(
        NAMES.map(({ filename, contentId }, at) => ({
          filename,
          octets: contentOf(at),
          ...(contentId === undefined ? {} : { contentId }),
        })),
      ),
    });
    const { reply } = await bench.relay(sends, ["second"], { raw, variables });
    const address = bench.address("second");
    if (!reply.startsWith("250 ")) unseen(reply);
    const copy = await bench.mailboxes.wait(address, bySubject(subject));
    if (copy === undefined) return unseen(`${reply}; it did not arrive`);
    const files = [];
    for (const file of await bench.mailboxes.files(address, copy)) {
      files.push({ file, content: await bench.mailboxes.fileContent(address, copy, file) });
    }
    return { reply, files };
  });
}

export const FILES: readonly Case[] = WAYS.flatMap((way) =>
  NAMES.map((named, at): Case => ({
    id: `files.${named.id}-${way.id}`,
    question: `Is ${named.question} kept, in a message that goes ${
      way.id === "as-is" ? "as it is" : "by a draft"
    }?`,
    expected: `${named.names.join(" or ")}, octet for octet`,
    needs: [],
    sends: way.sends,
    async run(bench) {
      const { reply, files } = await arrived(bench, way);
      const found = files.find(({ content }) => contentOf(at).equals(content));
      if (found === undefined) {
        return { agrees: false, seen: `${reply}; none of ${files.length} files has these octets` };
      }
      const { name, contentType, isInline, contentId } = found.file;
      const isWanted = named.contentId === undefined
        ? !isInline
        : isInline && contentId?.replace(/^<|>$/g, "") === named.contentId;
      return {
        agrees: named.names.includes(name) && isWanted,
        seen: `${JSON.stringify(name)}, ${contentType}${
          isInline ? `, inline, ${contentId}` : ""
        }; octets equal`,
      };
    },
  }))
);
