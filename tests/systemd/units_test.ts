/** What the units have root do where the relay's user can write. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SERVICE } from "../../src/systemd/units.ts";

const PAGE = readFileSync(
  fileURLToPath(new URL("../../deploy/systemd/README.md", import.meta.url)),
  "utf8",
);
const work = mkdtempSync(join(tmpdir(), "relay-units-"));
after(() => rmSync(work, { recursive: true }));

/** The commands of reloads that run as root: without the signs before them. */
function asRoot(text: string): string[] {
  return [...text.matchAll(/^ExecReload=-?\+(.+)$/gm)].map(([, command]) => command!);
}

describe("a reload of the service", () => {
  it("changes no mode by a name that the relay may have put a link to (CWE-367)", () => {
    const commands = [...asRoot(SERVICE.text), ...asRoot(PAGE)];
    assert.ok(commands.length >= 3 + 4 + 3, commands.join("\n"));
    for (const command of commands.filter((text) => text.includes("%t/smtp-oauth-relay/"))) {
      assert.match(command, /^mv -f (?:%t\/smtp-oauth-relay\.new\/\S+ )+%t\/smtp-oauth-relay\/$/);
    }
  });

  it("puts the renewed files in place of links, and leaves alone what these lead to", {
    skip: process.platform === "win32",
  }, () => {
    const [runtime, configuration] = [join(work, "run"), join(work, "etc")];
    const own = join(runtime, "smtp-oauth-relay");
    for (const path of [own, configuration]) mkdirSync(path, { recursive: true });
    const others = join(work, "others");
    writeFileSync(others, "another's", { mode: 0o600 });
    for (const name of ["cert.pem", "key.pem"]) {
      writeFileSync(join(configuration, name), `renewed ${name}`, { mode: 0o600 });
      symlinkSync(others, join(own, name));
    }
    // Twice: the first one leaves its directory.
    for (let i = 0; i < 2; i++) {
      for (const command of asRoot(SERVICE.text)) {
        const [program = "", ...args] = command.replaceAll("%t", runtime)
          .replaceAll("/etc/smtp-oauth-relay", configuration).split(" ");
        const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
        assert.equal(status, 0, stderr);
      }
    }
    assert.equal(readFileSync(others, "utf8"), "another's");
    assert.equal(statSync(others).mode & 0o777, 0o600);
    for (const name of ["cert.pem", "key.pem"]) {
      assert.equal(readFileSync(join(own, name), "utf8"), `renewed ${name}`);
      assert.equal(lstatSync(join(own, name)).mode & 0o777, 0o644);
    }
    assert.equal(statSync(`${own}.new`).mode & 0o777, 0o700);
  });
});
