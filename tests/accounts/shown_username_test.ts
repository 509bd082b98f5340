/** How much of a username is shown: it may be a secret in the wrong field (CWE-532). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LoginResult } from "../../src/accounts/account.ts";
import { shownCredentials, shownUsername } from "../../src/accounts/shown_username.ts";
import { parseUsername } from "../../src/accounts/username.ts";
import { looksLikeSecret, Secret, withoutSecrets } from "../../src/secret.ts";
import { reply } from "../../src/smtp/reply.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";

/** In the form of Entra ID's, but not a real secret. */
const SECRET = "aB38Q~xYzXyZxYzXyZxYzXyZxYzXyZxYzXyZxY_1";

describe("a username as it is shown", () => {
  const CASES: readonly (readonly [what: string, text: string, shown: string])[] = [
    ["one of tenant and client", USERNAME, USERNAME],
    ["without the domain behind it", `${USERNAME}.example.com`, USERNAME],
    ["without anything behind it", `${USERNAME}.${SECRET}`, USERNAME],
    ["an id that is a name", "scanner@lookup", "scanner@lookup"],
    ["an id of several words", "HP-LaserJet_4250.floor3@lookup", "HP-LaserJet_4250.floor3@lookup"],
    ["an id of other letters", "Büro-Drucker@lookup", "Büro-Drucker@lookup"],
    ["no word", "scanner", "(7 characters, not shown)"],
    ["no secret", SECRET, "(40 characters, not shown)"],
    ["no mail address", "ann@example.com", "(15 characters, not shown)"],
    ["no secret as an id", `${SECRET}@lookup`, "(40 characters, not shown)@lookup"],
    [
      "no password that was made by chance as an id",
      "kTq7RvW3mXc9PzHf4NbJ8sYd@lookup",
      "(24 characters, not shown)@lookup",
    ],
    ["no password of a person's as an id", "hunter2!@lookup", "(8 characters, not shown)@lookup"],
    ["no secret as a client", `${TENANT}@${SECRET}`, "(77 characters, not shown)"],
    ["no secret as a tenant", `${SECRET}@${CLIENT}`, "(77 characters, not shown)"],
    ["nothing endless", "x".repeat(5_000), "(5000 characters, not shown)"],
    ["nothing where there is nothing", "", ""],
  ];
  for (const [what, text, shown] of CASES) {
    it(`is ${what}`, () => assert.equal(shownUsername(text, "@"), shown));
  }

  it("is whole if it is an id of the lookup table", () => {
    assert.equal(shownUsername("hunter2!@lookup", "@", true), "hunter2!@lookup");
    for (const id of ["scanner", "scanner@printers.example"]) {
      assert.equal(shownUsername(id, "@", true), id);
    }
  });

  it("is not, even if it is a word, where it may be a password in the wrong field", () => {
    for (const text of ["scanner", "Sommer2024", "ann@example.com"]) {
      assert.equal(shownUsername(text, "@"), `(${text.length} characters, not shown)`);
    }
    assert.equal(shownUsername(SECRET, "@", true), "(40 characters, not shown)");
  });
});

describe("a login's username", () => {
  const refused = (code?: string): LoginResult => ({
    type: "refused",
    reply: reply(535, "5.7.8", "No"),
    detail: "no",
    ...(code === undefined ? {} : { code }),
  });
  const shown = (username: string, result: LoginResult, token = false) => {
    const credentials = token
      ? { mechanism: "XOAUTH2", username, token: new Secret("x") } as const
      : { mechanism: "PLAIN", username, password: new Secret("x") } as const;
    return shownCredentials(credentials, result, "@").username;
  };

  it("is shown if Entra ID or an entry has refused it, because then the table has it", () => {
    assert.equal(shown("hunter2!@lookup", refused("AADSTS7000215")), "hunter2!@lookup");
    const disabled = { ...refused("ENTRY_DISABLED"), entry: { id: "hunter2!" } } as LoginResult;
    const wrong = { ...refused("WRONG_PASSWORD"), entry: { id: "hunter2!" } } as LoginResult;
    const away = { ...refused("ECONNREFUSED"), isPasswordRight: true } as LoginResult;
    for (const result of [disabled, wrong, away]) {
      assert.equal(shown("hunter2!@lookup", result), "hunter2!@lookup");
      assert.equal(shown("hunter2!", result), "hunter2!");
    }
  });

  it("is not shown if the table does not have it, or that is unknown", () => {
    for (const code of ["NO_ENTRY", "NO_TABLE", "ECONNREFUSED", undefined]) {
      assert.equal(shown("hunter2!@lookup", refused(code)), "(8 characters, not shown)@lookup");
      assert.equal(shown("hunter2!", refused(code)), "(8 characters, not shown)");
    }
  });

  it("may be a mail address if the client logs in with a token", () => {
    assert.equal(shown("ann@example.com", refused(), true), "ann@example.com");
    assert.equal(shown("", refused(), true), "");
    assert.equal(shown(SECRET, refused(), true), "(40 characters, not shown)");
    assert.equal(shown(`${SECRET}@example.com`, refused(), true), "(52 characters, not shown)");
  });
});

describe("what has the form of a client secret", () => {
  it("is reported as a secret in place of a username", () => {
    for (const text of [SECRET, `${SECRET}@example.com`, `${TENANT}@${SECRET}`]) {
      const name = parseUsername(text, "@");
      assert(name.type === "invalid");
      assert.ok(
        name.problem.endsWith(
          `; it has ${text.length} characters and looks like a client secret: are the two swapped?`,
        ),
        name.problem,
      );
      assert.ok(!name.problem.includes(SECRET));
    }
    const name = parseUsername("scanner", "@");
    assert(name.type === "invalid");
    assert.doesNotMatch(name.problem, /secret/);
  });

  it("is removed from a text, and nothing else is", () => {
    assert.equal(withoutSecrets(`FROM:<${SECRET}@x.test>`), "FROM:<[40 characters]@x.test>");
    assert.equal(withoutSecrets(`"${SECRET}"`), '"[40 characters]"');
    for (
      const text of [
        USERNAME,
        "a~b",
        "~".repeat(40),
        "x".repeat(10_000),
        "<CAF2x~1@mail.example.com>",
        `${SECRET}${SECRET}`,
      ]
    ) assert.equal(withoutSecrets(text), text);
    assert.ok(looksLikeSecret(SECRET) && !looksLikeSecret(USERNAME));
  });

  it("is found in time proportional to the text", () => {
    const long = "aB1~".repeat(250_000);
    const begun = performance.now();
    withoutSecrets(long);
    assert.ok(performance.now() - begun < 5_000);
  });
});
