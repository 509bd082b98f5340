/**
 * A device's own password against the hashes of its entry: what is right, how many derivations that takes, and what
 * waits for what. Derivations are counted, because a test of times would depend on the machine.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import {
  CHECK_TIMEOUT,
  DERIVATION_MEMORY,
  deriveScrypt,
  DevicePasswords,
  MAX_WAITING_CHECKS,
  type PasswordResult,
} from "../../src/accounts/device_passwords.ts";
import { parsePasswordHash, type PasswordHash } from "../../src/accounts/password_hash.ts";
import { Secret } from "../../src/secret.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { deriveFast, hashOf } from "../support/passwords.ts";

const HERE = "192.0.2.1";

async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

function open(memory?: { acquire(): Promise<(() => void) | undefined> }) {
  const clock = new FakeClock();
  const state = {
    derived: 0,
    /** Under way now, and at most. */
    now: 0,
    most: 0,
    /** Whether a derivation lasts until the test ends it. */
    held: false,
  };
  const held: (() => void)[] = [];
  const passwords = new DevicePasswords({
    clock,
    memory,
    async derive(password, salt) {
      state.derived++;
      state.most = Math.max(state.most, ++state.now);
      if (state.held) await new Promise<void>((resolve) => held.push(resolve));
      state.now--;
      return deriveFast(password, salt);
    },
  });
  const check = (
    password: string,
    hashes: readonly PasswordHash[],
    { id = "scanner", client = HERE } = {},
  ) => passwords.check({ password: new Secret(password), hashes, id, client });
  const typeOf = async (...args: Parameters<typeof check>) => (await check(...args)).type;
  const endAll = async () => {
    do {
      for (const end of held.splice(0)) end();
      await settled();
    } while (held.length > 0);
  };
  return { clock, state, held, passwords, check, typeOf, endAll };
}

function scrypt(password: string): PasswordHash {
  return parsePasswordHash(hashOf(password, "fast"))!;
}
function sha256(password: string): PasswordHash {
  return parsePasswordHash(hashOf(password, "sha256"))!;
}

describe("a device's password", () => {
  it("is right for a hash of scrypt with N=2^14, r=8, p=1 (RFC 7914), in UTF-8", async () => {
    // RFC 7914 §12: scrypt("pleaseletmein", "SodiumChloride", 16384, 8, 1), its first 32 octets.
    const derived = await deriveScrypt(Buffer.from("pleaseletmein"), Buffer.from("SodiumChloride"));
    assert.equal(
      Buffer.from(derived).toString("hex"),
      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
    );
    const real = new DevicePasswords();
    for (const [password, type] of [["Grüße 🔑", "right"], ["Grüße", "wrong"]] as const) {
      const hashes = [parsePasswordHash(hashOf("Grüße 🔑", "scrypt"))!];
      const result = await real.check({
        password: new Secret(password),
        hashes,
        id: "scanner",
        client: HERE,
      });
      assert.equal(result.type, type);
    }
  });

  it("is right for a hash of SHA-256 over the salt's octets and the password, without a derivation", async () => {
    const { state, typeOf } = open();
    assert.equal(await typeOf("Grüße 🔑", [sha256("Grüße 🔑")]), "right");
    assert.equal(state.derived, 0);
  });

  it("is right for either of two hashes, of whatever kind, and the one that it matches is told", async () => {
    for (const [first, second] of [[sha256, sha256], [scrypt, sha256], [scrypt, scrypt]]) {
      const { check, typeOf } = open();
      const hashes = [first!("one"), second!("two")];
      for (const [i, password] of ["one", "two"].entries()) {
        const result = await check(password, hashes);
        assert.equal(result.type === "right" && result.hash, hashes[i]);
      }
      assert.equal(await typeOf("three", hashes), "wrong");
    }
  });

  it("that was right costs no derivation again, as long as the entry has its hash", async () => {
    const { state, typeOf } = open();
    const [old, next] = [scrypt("old"), scrypt("new")];
    assert.equal(await typeOf("old", [old]), "right");
    assert.equal(state.derived, 1);
    for (let i = 0; i < 5; i++) assert.equal(await typeOf("old", [old, next]), "right");
    assert.equal(state.derived, 1);
    assert.equal(await typeOf("old", [next]), "wrong");
    assert.equal(await typeOf("old", []), "wrong");
    assert.equal(await typeOf("old", [old]), "right");
  });
});

describe("a check that fails", () => {
  const KINDS: readonly (readonly [what: string, hashes: readonly PasswordHash[]])[] = [
    ["an id that does not exist", []],
    ["one hash of SHA-256", [sha256("p")]],
    ["one hash of scrypt", [scrypt("p")]],
    ["two of SHA-256", [sha256("p"), sha256("q")]],
    ["two of scrypt", [scrypt("p"), scrypt("q")]],
    ["one of each", [sha256("p"), scrypt("q")]],
  ];
  for (const [what, hashes] of KINDS) {
    it(`has made two derivations, with ${what}`, async () => {
      const { state, typeOf } = open();
      for (let i = 1; i <= 3; i++) {
        assert.equal(await typeOf("wrong", hashes), "wrong");
        assert.equal(state.derived, 2 * i, "a failure is not remembered");
      }
    });
  }

  it("makes them for each guess at once too, and the same guess at once shares them", async () => {
    for (const hashes of [[], [scrypt("p")]]) {
      const { state, typeOf } = open();
      const results = ["a", "b", "b", "b"].map((password) => typeOf(password, hashes));
      assert.deepEqual(await Promise.all(results), Array(4).fill("wrong"));
      assert.equal(state.derived, 4);
    }
  });

  it("shares them neither with another id nor with another address", async () => {
    const { state, typeOf } = open();
    await Promise.all([
      typeOf("a", []),
      typeOf("a", [], { id: "other" }),
      typeOf("a", [], { client: "192.0.2.2" }),
    ]);
    assert.equal(state.derived, 6);
  });
});

describe("checks at once", () => {
  it("make two derivations at a time, each with its memory, which they give back", async () => {
    let [taken, most] = [0, 0];
    const { state, typeOf, endAll } = open({
      acquire(...args: unknown[]) {
        assert.equal(args[0], DERIVATION_MEMORY);
        assert.equal(DERIVATION_MEMORY, 16 * 1024 ** 2);
        most = Math.max(most, ++taken);
        return Promise.resolve(() => void taken--);
      },
    });
    state.held = true;
    const results = Array.from({ length: 200 }, (_, i) => typeOf(`p${i}`, [scrypt("p7")]));
    await settled();
    await endAll();
    const right = (await Promise.all(results)).filter((type) => type === "right");
    assert.deepEqual([right.length, state.most, most, taken], [1, 2, 2, 0]);
  });

  it("from one address do not hold up the others", async () => {
    const { state, held, check, typeOf } = open();
    state.held = true;
    for (let i = 0; i < 500; i++) void check(`guess ${i}`, [scrypt("p")]);
    await settled();
    let answered: string | undefined;
    void typeOf("p", [scrypt("p")], { client: "192.0.2.2" }).then((type) => answered = type);
    let rounds = 0;
    while (answered === undefined) {
      for (const end of held.splice(0)) end();
      await settled();
      rounds++;
    }
    assert.equal(answered, "right");
    assert(rounds <= 6, `${rounds} rounds of derivations`);
  });

  it("wait for their turn for a limited time, and only so many", async () => {
    const { clock, state, check, endAll } = open();
    state.held = true;
    const results: Promise<PasswordResult>[] = [];
    for (let i = 0; i < MAX_WAITING_CHECKS + 3; i++) {
      results.push(Promise.resolve(check(`guess ${i}`, [])));
    }
    assert.equal((await results.at(-1)!).type, "crowded");
    clock.pass(CHECK_TIMEOUT);
    const waited = await Promise.all(results.slice(2, 50));
    assert(waited.every(({ type }) => type === "crowded"));
    await endAll();
    assert.equal((await results[0]!).type, "wrong");
  });

  it("are not refused, but crowded, where there is no memory in time", async () => {
    const { state, typeOf } = open({ acquire: () => Promise.resolve(undefined) });
    assert.equal(await typeOf("p", [scrypt("p")]), "crowded");
    assert.equal(await typeOf("p", [sha256("p")]), "right");
    assert.equal(state.derived, 0);
  });

  it("that wait end when the relay stops", async () => {
    const { passwords, state, typeOf, endAll } = open();
    state.held = true;
    const results = ["a", "b", "c"].map((password) => typeOf(password, []));
    await settled();
    passwords.stop();
    assert.equal(await results[2], "crowded");
    await endAll();
    assert.deepEqual(await Promise.all(results), ["wrong", "wrong", "crowded"]);
  });
});
