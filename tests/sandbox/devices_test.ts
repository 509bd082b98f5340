/** The sandbox's devices without secrets: their entries are usable, and their passwords the right ones. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DevicePasswords } from "../../src/accounts/device_passwords.ts";
import { ALPHABET, STANDARD_LENGTH } from "../../src/accounts/made_password.ts";
import { readEntry } from "../../src/accounts/entry.ts";
import { Secret } from "../../src/secret.ts";
import { deviceRows, SANDBOX_DEVICES } from "../../src/sandbox/devices.ts";

const APP = {
  tenantId: "11111111-1111-1111-1111-111111111111",
  clientId: "22222222-2222-2222-2222-222222222222",
};

describe("the sandbox's devices", () => {
  const entries = deviceRows(APP).map((row) => {
    const reading = readEntry(row);
    assert.equal(reading.type, "entry", row.id);
    assert.ok(reading.type === "entry" && reading.entry.device !== undefined);
    return { id: reading.entry.id, device: reading.entry.device };
  });

  it("are one with a made and one with a chosen password, by a name and by an address", () => {
    assert.deepEqual(
      entries.map(({ id, device }) => [id, device.hashes[0].type, device.credential]),
      [
        ["printer", "sha256", "certificate"],
        ["copier@printers.example", "scrypt", "certificate"],
      ],
    );
    const [{ password }] = SANDBOX_DEVICES as [typeof SANDBOX_DEVICES[number]];
    assert.ok(password.length === STANDARD_LENGTH);
    assert.ok([...password].every((character) => ALPHABET.includes(character)));
    assert.deepEqual(SANDBOX_DEVICES.map(({ username }) => username), entries.map(({ id }) => id));
  });

  it("have the passwords that are shown", async () => {
    const passwords = new DevicePasswords();
    for (const [i, { id, device: { hashes } }] of entries.entries()) {
      const check = async (password: string) => {
        const what = { password: new Secret(password), hashes, id, client: "127.0.0.1" };
        return (await passwords.check(what)).type;
      };
      const { password } = SANDBOX_DEVICES[i]!;
      assert.equal(await check(password), "right", id);
      assert.equal(await check(`${password}x`), "wrong", id);
    }
  });
});
