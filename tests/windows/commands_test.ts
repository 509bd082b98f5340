/** The command lines of sc.exe, reg.exe and icacls.exe: their documentation is Microsoft's "Windows Commands". */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import {
  accessCommands,
  commandLine,
  hostCommand,
  quoted,
  serviceCommands,
} from "../../src/windows/commands.ts";
import { layoutOf, SERVICE, serviceSid } from "../../src/windows/names.ts";

const LAYOUT = layoutOf({ ProgramFiles: "C:\\Program Files", ProgramData: "C:\\ProgramData" });

/** CommandLineToArgvW for what follows the program's name: https://learn.microsoft.com/windows/win32/api/shellapi. */
function parsed(line: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  let inQuotes = false;
  for (let at = 0; at < line.length;) {
    const slashes = /^\\+/.exec(line.slice(at))?.[0].length ?? 0;
    if (slashes > 0) {
      at += slashes;
      const quote = line[at] === '"';
      word = (word ?? "") + "\\".repeat(quote ? Math.floor(slashes / 2) : slashes);
      if (quote && slashes % 2 === 1) {
        word += '"';
        at++;
      }
      continue;
    }
    const letter = line[at++]!;
    if (letter === '"') {
      inQuotes = !inQuotes;
      word ??= "";
    } else if (/\s/.test(letter) && !inQuotes) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? "") + letter;
  }
  return word === undefined ? found : [...found, word];
}

describe("an argument for a program of Windows", () => {
  it("has quotes only where it needs them", () => {
    assert.equal(quoted("C:\\relay\\smtp.exe"), "C:\\relay\\smtp.exe");
    assert.equal(quoted("C:\\Program Files\\"), '"C:\\Program Files\\\\"');
    assert.equal(quoted('"a b" "c"'), '"\\"a b\\" \\"c\\""');
    assert.equal(quoted(""), '""');
  });

  it("is read as it was given, whatever is in it", () => {
    const argument = fc.string({ unit: fc.constantFrom("\\", '"', " ", "\t", "a", "=", "%", "é") });
    fc.assert(fc.property(fc.array(argument), (given) => {
      assert.deepEqual(parsed(commandLine(given)), given);
    }));
  });
});

describe("the service's security identifier", () => {
  it("is that which Windows makes of the name", () => {
    // TrustedInstaller's is in every Windows: https://learn.microsoft.com/windows-server/identity/ad-ds/manage/understand-security-identifiers
    const installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
    assert.equal(serviceSid("TrustedInstaller"), installer);
    assert.equal(serviceSid("TRUSTEDINSTALLER"), installer);
  });
});

describe("the service", () => {
  const commands = serviceCommands(LAYOUT, false);

  it("runs the host under its virtual account, started after the others", () => {
    assert.deepEqual(commands[0], [
      ...["sc.exe", "create", "smtp-oauth-relay", "binPath="],
      '"C:\\Program Files\\smtp-oauth-relay\\smtp-oauth-relay-service.exe" "C:\\ProgramData\\smtp-oauth-relay"',
      ...["start=", "delayed-auto", "obj=", "NT SERVICE\\smtp-oauth-relay"],
      ...["DisplayName=", "SMTP OAuth relay"],
    ]);
  });

  it("is changed and not made where it exists", () => {
    const changed = serviceCommands(LAYOUT, true);
    assert.equal(changed[0]![1], "config");
    assert.deepEqual(changed.slice(1), commands.slice(1));
  });

  it("is started again after a failure, also one with a status", () => {
    const lines = commands.map(commandLine);
    assert.ok(lines.includes(
      "sc.exe failure smtp-oauth-relay reset= 86400 actions= restart/10000/restart/60000/restart/600000",
    ));
    assert.ok(lines.includes("sc.exe failureflag smtp-oauth-relay 1"));
  });

  it("has a command with quotes around each path, also without blanks", () => {
    const path = /^"([^"]+)" "([^"]+)"$/.exec(hostCommand(LAYOUT));
    assert.equal(path?.[2], LAYOUT.data);
    assert.equal(hostCommand({ programs: "C:\\r", data: "D:\\d" }).slice(0, 3), '"C:');
  });
});

describe("access to the data", () => {
  const commands = accessCommands(LAYOUT);
  const service = `*${serviceSid(SERVICE)}`;

  it("is for administrators, the system and the service, which may only read", () => {
    assert.deepEqual(commands[1], [
      ...["icacls.exe", "C:\\ProgramData\\smtp-oauth-relay", "/inheritance:r", "/grant:r"],
      ...["*S-1-5-32-544:(OI)(CI)F", "*S-1-5-18:(OI)(CI)F", `${service}:(OI)(CI)RX`],
    ]);
  });

  it("lets the service write the log and the queue", () => {
    const written = commands.filter((command) => command.at(-1)!.endsWith("M"))
      .map(([, path, ...rest]) => [path, ...rest]);
    assert.deepEqual(
      written,
      ["logs", "queue"].map((name) => [
        ...[`C:\\ProgramData\\smtp-oauth-relay\\${name}`, "/L"],
        ...["/grant:r", `${service}:(OI)(CI)M`],
      ]),
    );
  });
});
