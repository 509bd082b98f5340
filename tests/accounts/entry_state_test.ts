/** The state of an entry, compared with what a login and its messages really get. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type EntryRules, entryState } from "../../src/accounts/entry_state.ts";
import { senderRefusal } from "../../src/accounts/senders.ts";
import { isTableKey } from "../../src/accounts/entry.ts";
import { type Delimiter, parseUsername } from "../../src/accounts/username.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import { hashOf } from "../support/passwords.ts";

const ID = "12345678-1234-1234-1234-123456789abc";
const IDS = { tenant_id: ID, client_id: ID };

function state(columns: Record<string, unknown>, id = "x", rules: Partial<EntryRules> = {}) {
  const row = { id, columns: { ...IDS, ...columns } };
  return entryState(row, { delimiter: "@", allowedSenders: undefined, forced: false, ...rules });
}

describe("the state of an entry", () => {
  const SENDERS: readonly (readonly [from: string, list: string, allowed: boolean])[] = [
    ["a@other.org", "@example.com", false],
    ["a@sub.example.com", "@example.com", false],
    ["A@EXAMPLE.com", "b@example.com, a@example.com", true],
    ["a@example.com", "@EXAMPLE.com", true],
  ];
  for (const [from, list, allowed] of SENDERS) {
    it(`${allowed ? "is ok" : "is a mistake"} with from_email ${from} and ${list}`, () => {
      const senders = SenderList.parse(list);
      assert.equal(
        senderRefusal(from, { allowed: undefined, ofEntry: senders }) === undefined,
        allowed,
      );
      const problem = (name: string) =>
        allowed
          ? { type: "ok" }
          : { type: "mistake", problem: `from_email is not in ${name}`, column: "from_email" };
      assert.deepEqual(
        state({ from_email: from, allowed_senders: list }),
        problem("allowed_senders"),
      );
      assert.deepEqual(
        state({ from_email: from }, "x", { allowedSenders: senders }),
        problem("ALLOWED_SENDERS"),
      );
    });
  }

  const KEYS = [
    "x",
    "a@b",
    "a:b",
    "scanner@lookup",
    "a.b",
    "é",
    "x".repeat(1017),
    "x".repeat(1018),
  ];
  for (const delimiter of ["@", ":", "|"] as Delimiter[]) {
    for (const id of KEYS) {
      it(`is ok for the id ${id.slice(0, 20)} (${id.length}) exactly if a username with ${delimiter} can name it`, () => {
        assert(isTableKey(id));
        const username = parseUsername(`${id}${delimiter}lookup`, delimiter);
        const named = username.type === "lookup" && username.id === id;
        const found = state({}, id, { delimiter });
        assert.equal(found.type === "ok", named, JSON.stringify(found));
        if (found.type === "mistake") assert.equal(found.column, undefined);
      });
    }
  }

  it("lists several mistakes together, and a column without effect", () => {
    const both = state({ from_email: "a@x.test", allowed_senders: "@y.test" }, "a@b");
    assert(both.type === "mistake" && both.column === "from_email");
    assert.match(
      both.problem,
      /^the id may not contain "@", the USERNAME_DELIMITER; from_email is/,
    );
    assert.deepEqual(state({ from_name: "Ann" }), {
      type: "ok",
      hint: "from_name has no effect without from_email",
    });
    assert.deepEqual(state({ from_name: "Ann", from_email: "a@x.test" }), { type: "ok" });
  });

  it("is that of the row if the row is enough", () => {
    assert.deepEqual(state({ disabled: true }, "a@b"), { type: "disabled" });
    assert.deepEqual(state({ client_id: "?" }, "a@b"), {
      type: "mistake",
      problem: "client_id must be a UUID",
      column: "client_id",
    });
  });
});

describe("the entry of a device with its own password", () => {
  const DEVICE = {
    from_email: "scanner@example.com",
    credential: "certificate",
    password_hash: hashOf("a password", "sha256"),
  };

  const NAMED: readonly (readonly [id: string, state: RegExp])[] = [
    ["scanner", /^ok$/],
    ["scanner@printers.example", /^ok$/],
    ["kTq7RvW3mXc9PzHf4NbJ8sYd", /^its username is id@lookup alone: the id is too long .*secret$/],
    [`${ID}:${ID}`, /^ok$/],
    [`${ID}@${ID}`, /^the id may not contain "@"/],
    ["scanner@lookup", /^the id may not contain "@"/],
    ["x".repeat(1018), /^ok$/],
  ];
  for (const [id, expected] of NAMED) {
    it(`may have the id ${id.slice(0, 24)} as its whole username, or not (${expected})`, () => {
      for (const forced of [false, true]) {
        // No login by tenant and client uses it.
        const found = state(DEVICE, id, { forced });
        const text = found.type === "mistake"
          ? found.problem
          : found.type === "ok"
          ? found.hint ?? "ok"
          : "";
        assert.match(text, expected);
      }
      const username = parseUsername(id, "@");
      const isNamed = username.type === "invalid" && username.bareId === id;
      if (expected.source === "^ok$") assert(isNamed);
    });
  }
});

describe("an entry that no username can name", () => {
  it("is ok if logins by tenant and client need their entry, and names the account that it is for", () => {
    const found = state({}, "scanner@contoso.com", { forced: true });
    assert(found.type === "ok");
    assert.match(found.hint!, /^for logins by tenant and client alone: the id may not contain "@"/);
  });
});

describe("a column with almost a known name, and no influence on logins", () => {
  it("is reported, and does no harm: the Python relay never read it", () => {
    const found = state({ From_Email: "a@x.test", FromName: "Ann" });
    assert.deepEqual(found, {
      type: "ok",
      hint: 'the column "From_Email" has no effect (did you mean from_email?); ' +
        'the column "FromName" has no effect (did you mean from_name?)',
    });
  });

  it("is reported where a letter is wrong: a device that is not blocked must not look blocked", () => {
    const found = state({ disable: "true", allowed_sender: "a@x.test", site: "x", descriptio: "" });
    assert.deepEqual(found, {
      type: "ok",
      hint: 'the column "disable" has no effect (did you mean disabled?); ' +
        'the column "allowed_sender" has no effect (did you mean allowed_senders?)',
    });
  });
});
