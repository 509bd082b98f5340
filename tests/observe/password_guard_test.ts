import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PasswordGuard } from "../../src/observe/password_guard.ts";
import { Secret } from "../../src/secret.ts";

const PASSWORD = "right";

describe("the guard of HTTP_PASSWORD", () => {
  // RFC 4291 §2.5.5.2: how a socket for both families names a client of IPv4.
  for (const prefix of ["", "::ffff:"]) {
    it(`tells clients of IPv4 apart: ${prefix}192.0.2.1`, () => {
      const limited: string[] = [];
      const guard = new PasswordGuard(new Secret(PASSWORD), {
        limited: (address) => limited.push(address),
        clock: { now: () => 0 },
      });
      const stranger = `${prefix}192.0.2.66`;
      for (let i = 0; i < 20; i++) assert.equal(guard.check(`guess ${i}`, stranger), "wrong");
      assert.equal(guard.check(PASSWORD, stranger), "limited");
      assert.deepEqual(limited, ["192.0.2.66"]);
      assert.equal(guard.check(PASSWORD, `${prefix}192.0.2.7`), "right");
      assert.equal(guard.check("guess", stranger), "limited", "another's login does not help");
    });
  }

  it("takes an IPv6 network of 64 bits for one client", () => {
    const guard = new PasswordGuard(new Secret(PASSWORD), { clock: { now: () => 0 } });
    for (let i = 0; i < 20; i++) guard.check("guess", `2001:db8::${i}`);
    assert.equal(guard.check("guess", "2001:db8::ffff"), "limited");
    assert.equal(guard.check("guess", "2001:db8:0:1::1"), "wrong");
  });
});
