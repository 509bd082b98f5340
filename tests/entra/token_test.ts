/** The roles that a token names, which are for diagnosis only. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { rolesOf } from "../../src/entra/token.ts";
import { jwt } from "../support/tokens.ts";

describe("the roles of a token", () => {
  it("are those that have the form of a permission: others might break a log line", () => {
    const roles = [
      "Mail.Send",
      "a b",
      "Mail.Read\r\nX: y",
      "",
      7,
      null,
      "x".repeat(65),
      "User.Read",
    ];
    assert.deepEqual(rolesOf(jwt({ roles })), ["Mail.Send", "User.Read"]);
  });

  it("are missing if the token cannot be read", () => {
    for (const token of ["", "a", "a.b.c", jwt({ roles: "Mail.Send" }), jwt({})]) {
      assert.deepEqual(rolesOf(token), []);
    }
  });
});
