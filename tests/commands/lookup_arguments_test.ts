/** Which ids `lookup set` makes an entry with: those that a username can name. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newIdProblem } from "../../src/commands/lookup_arguments.ts";

const DEVICE = { credential: "certificate" };

describe("the id of a new entry", () => {
  it("may be an address only for a device, whose whole username it then is", () => {
    assert.match(newIdProblem("scanner@printers.example", "@")!, /may not contain "@"/);
    assert.match(newIdProblem("scanner@printers.example", "@", { credential: undefined })!, /"@"/);
    assert.equal(newIdProblem("scanner@printers.example", "@", DEVICE), undefined);
    assert.equal(newIdProblem("scanner@printers.example", ":"), undefined);
  });

  it("may not be a username of another form", () => {
    assert.match(newIdProblem("scanner@lookup", "@", DEVICE)!, /: give the id alone, "scanner"$/);
  });
});
