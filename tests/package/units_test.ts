// The packages' units differ from those of deploy/systemd/ in what a package needs, and in nothing else.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { packagedUnits } from "../../scripts/package/units.ts";
import { SERVICE, SOCKETS, UNITS } from "../../src/systemd/units.ts";

const directives = (text: string) =>
  text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

describe("the packages' units", () => {
  const packaged = new Map(packagedUnits().map(({ name, text }) => [name, text]));

  it("are all of those that install-service can install", () => {
    const names = [...UNITS, ...SOCKETS].map(({ name }) => name);
    assert.deepEqual([...packaged.keys()], names);
  });

  it("are the same, but for the service's executable, user and page", () => {
    for (const { name, text } of [...UNITS, ...SOCKETS]) {
      if (name !== SERVICE.name) assert.equal(packaged.get(name), text);
    }
    const before = directives(SERVICE.text);
    const after = directives(packaged.get(SERVICE.name)!);
    assert.deepEqual(before.filter((line) => !after.includes(line)), [
      "Documentation=man:systemd.exec(5)",
      "ExecStart=/usr/local/bin/smtp-oauth-relay serve",
      "DynamicUser=yes",
    ]);
    assert.deepEqual(after.filter((line) => !before.includes(line)), [
      "Documentation=man:smtp-oauth-relay(1) man:systemd.exec(5)",
      "ExecStart=/usr/bin/smtp-oauth-relay serve",
      "User=smtp-oauth-relay",
      "Group=smtp-oauth-relay",
    ]);
  });
});
