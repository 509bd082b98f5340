// Who a message may name as its sender: forms of From, Sender and the envelope.

import type { Bench } from "../bench.ts";
import type { Case, Seen } from "../case.ts";
import { addressesIn, fieldsOf } from "../mime.ts";
import type { Need, Role } from "../settings.ts";

interface Form {
  readonly id: string;
  readonly question: string;
  readonly expected: string;
  readonly fact?: string;
  readonly needs?: readonly Need[];
  /** The field From. */
  from(of: (role: Role) => string): string;
  /** Further fields. */
  fields?(of: (role: Role) => string): readonly string[];
  readonly envelope?: Role;
  readonly reply: RegExp;
  /** The authors that the second mailbox must see, of those that were written; any if left out. */
  shows?(of: (role: Role) => string): readonly string[];
}

const sender = (of: (role: Role) => string) => [of("sender")];

const FORMS: readonly Form[] = [
  {
    id: "mailbox",
    question: "Does a message of the mailbox itself arrive?",
    expected: "250; From as written",
    fact: "relay.tenant",
    from: (of) => of("sender"),
    reply: /^250 /,
    shows: sender,
  },
  {
    id: "display-name",
    question: "Is a display name kept, with a comma and letters beyond ASCII?",
    expected: "250; From as written",
    from: (of) => `"Büro, 2. Stock" <${of("sender")}>`,
    reply: /^250 /,
    shows: sender,
  },
  {
    id: "address-as-name",
    question: "Is a quoted address as the display name taken?",
    expected: "250",
    from: (of) => `"${of("sender")}" <${of("sender")}>`,
    reply: /^250 /,
    shows: sender,
  },
  {
    id: "alias",
    question: "What becomes of an alias of the mailbox in From?",
    expected: "250; Exchange may replace it by the main address",
    needs: ["alias"],
    from: (of) => of("alias"),
    reply: /^250 /,
  },
  {
    id: "alias-envelope",
    question: "Is an alias in MAIL FROM taken as the mailbox?",
    expected: "250",
    needs: ["alias"],
    from: (of) => of("sender"),
    envelope: "alias",
    reply: /^250 /,
  },
  {
    id: "shared",
    question: "Does a shared mailbox send as itself?",
    expected: "250 if it is in the app's scope",
    needs: ["shared"],
    from: (of) => of("shared"),
    envelope: "shared",
    reply: /^250 /,
    shows: (of) => [of("shared")],
  },
  {
    id: "group",
    question: "Is a group in From refused without Send As?",
    expected: "550 5.7.1 ErrorSendAsDenied",
    needs: ["group"],
    from: (of) => of("group"),
    reply: /^550 5\.7\.1 .*ErrorSendAsDenied/,
  },
  {
    id: "other-author",
    question: "Is another mailbox of the scope in From refused without Send As?",
    expected: "550 5.7.1 ErrorSendAsDenied",
    from: (of) => of("second"),
    reply: /^550 5\.7\.1 .*ErrorSendAsDenied/,
  },
  {
    id: "outside",
    question: "Is a mailbox outside of the app's scope refused as the sender?",
    expected: "550 5.7.1 ErrorAccessDenied",
    from: (of) => of("outside"),
    envelope: "outside",
    reply: /^550 5\.7\.1 .*ErrorAccessDenied/,
  },
  {
    id: "sender-field",
    question: "Is another mailbox in the field Sender refused, or replaced?",
    expected: "550 5.7.1 ErrorSendAsDenied, or 250 without it",
    from: (of) => of("sender"),
    fields: (of) => [`Sender: ${of("second")}`],
    reply: /^(?:550 5\.7\.1 .*ErrorSendAsDenied|250 )/,
    shows: sender,
  },
  {
    id: "two-authors",
    question: "Is From with two authors taken, the mailbox being the Sender?",
    expected: "550 5.7.1 ErrorSendAsDenied, or 250",
    from: (of) => `${of("sender")}, ${of("second")}`,
    fields: (of) => [`Sender: ${of("sender")}`],
    reply: /^(?:550 5\.7\.1 .*ErrorSendAsDenied|250 )/,
  },
];

async function look(bench: Bench, form: Form, sends: { second: number }): Promise<Seen> {
  const of = (role: Role) => bench.address(role);
  const { raw, subject } = bench.short(`senders.${form.id}`, {
    from: form.from(of),
    fields: form.fields?.(of) ?? [],
  });
  const { reply } = await bench.relay(sends, ["second"], { from: form.envelope ?? "sender", raw });
  const isExpected = form.reply.test(reply);
  if (!reply.startsWith("250 ")) return { agrees: isExpected, seen: reply };
  const copy = await bench.arrived("second", subject);
  if (copy === undefined) return { agrees: false, seen: `${reply}; it did not arrive` };
  const [from = ""] = fieldsOf(copy.raw, "From");
  const [other = "none"] = fieldsOf(copy.raw, "Sender");
  const wanted = form.shows?.(of).map((address) => address.toLowerCase());
  const authors = addressesIn(from.replace(/"[^"]*"/g, ""));
  const isShown = wanted === undefined || wanted.join() === authors.join();
  return {
    agrees: isExpected && isShown,
    seen: `${reply}; From: ${from}; Sender: ${other}; after ${Math.round(copy.after / 1000)} s`,
  };
}

export const SENDERS: readonly Case[] = [
  ...FORMS.map((form): Case => {
    const sends = { second: 1 };
    const { id, question, expected, fact, needs = [] } = form;
    return {
      id: `senders.${id}`,
      question,
      expected,
      ...(fact === undefined ? {} : { fact }),
      needs,
      sends,
      run: (bench) => look(bench, form, sends),
    };
  }),
  {
    id: "setup.scripts",
    question: "Has the script made what these cases run with?",
    expected: "set_up.ps1 has written the settings, and a message arrives",
    fact: "setup.scripts",
    needs: ["setUpBy"],
    sends: { second: 1 },
    async run(bench) {
      const by = bench.settings.setUpBy ?? "";
      const { raw, subject } = bench.short("setup.scripts");
      const { reply } = await bench.relay(this.sends, ["second"], { raw });
      const copy = reply.startsWith("250 ") ? await bench.arrived("second", subject) : undefined;
      return {
        agrees: /\bset_?up\.(?:ps1|sh)$/.test(by) && copy !== undefined,
        seen: `set up by ${by}; ${reply}`,
      };
    },
  },
  {
    id: "senders.external-recipient",
    question: "Does a message arrive outside, without a Bcc field?",
    expected: "250; look into the mailbox outside: the second mailbox must not be named",
    needs: [],
    sends: { external: 1, second: 1 },
    async run(bench) {
      const { raw } = bench.short("senders.external-recipient", {
        to: bench.address("external"),
      });
      const { reply } = await bench.relay(this.sends, ["external", "second"], { raw });
      const isTaken = reply.startsWith("250 ");
      return { agrees: isTaken ? undefined : false, seen: reply };
    },
  },
];
