/** The tables of the .msi package; Wine installs it in tests/deploy/windows.sh. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import {
  contentCode,
  FILES,
  type MsiFacts,
  msiTables,
  msiVersion,
} from "../../scripts/package/msi_tables.ts";
import { hostCommand, serviceCommands } from "../../src/windows/commands.ts";
import { layoutOf, serviceSid } from "../../src/windows/names.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const FACTS: MsiFacts = {
  version: "1.2.3",
  epoch: 1_800_000_000,
  manufacturer: "contributors",
  summary: "SMTP relay",
  files: FILES.map(({ id, name }, size) => ({
    ...{ id, name, size },
    md5: createHash("md5").update(id).digest(),
  })),
};

/** The rows of a table, each by the names of its columns. */
function rowsOf(name: string, facts = FACTS): Record<string, string>[] {
  const lines = msiTables(facts).get(name)!.split("\r\n");
  assert.equal(lines.pop(), "");
  const [columns, types, keys, ...rows] = lines.map((line) => line.split("\t"));
  assert.equal(types!.length, columns!.length, name);
  assert.equal(keys![0], name);
  return rows.map((row) => {
    assert.equal(row.length, columns!.length, `${name}: ${row.join("|")}`);
    return Object.fromEntries(columns!.map((column, at) => [column, row[at]!]));
  });
}

/** Of Microsoft's reference: which columns name a row of which table. */
const REFERENCES: readonly (readonly [table: string, column: string, to: string])[] = [
  ["Component", "Directory_", "Directory"],
  ["CreateFolder", "Directory_", "Directory"],
  ["CreateFolder", "Component_", "Component"],
  ["File", "Component_", "Component"],
  ["MsiFileHash", "File_", "File"],
  ["FeatureComponents", "Component_", "Component"],
  ["FeatureComponents", "Feature_", "Feature"],
  ["Registry", "Component_", "Component"],
  ["ServiceInstall", "Component_", "Component"],
  ["ServiceControl", "Component_", "Component"],
  ["MsiServiceConfig", "Component_", "Component"],
  ["MsiServiceConfigFailureActions", "Component_", "Component"],
  ["MsiLockPermissionsEx", "LockObject", "Directory"],
];

describe("the tables of the .msi package", () => {
  it("have keys of their own, and types for each column", () => {
    for (const [name, text] of msiTables(FACTS)) {
      const rows = rowsOf(name);
      const keys = text.split("\r\n")[2]!.split("\t").slice(1);
      const found = rows.map((row) => keys.map((key) => row[key]).join("\t"));
      assert.equal(new Set(found).size, rows.length, name);
    }
  });

  it("name only rows that are there", () => {
    for (const [table, column, to] of REFERENCES) {
      const first = Object.keys(rowsOf(to)[0]!)[0]!;
      const known = rowsOf(to).map((row) => row[first]);
      for (const row of rowsOf(table)) {
        assert.ok(known.includes(row[column]), `${table}: ${row[column]}`);
      }
    }
    for (const { Component, KeyPath, Attributes } of rowsOf("Component")) {
      if (KeyPath === "") continue;
      const isRegistry = (Number(Attributes) & 4) !== 0;
      const [table, column] = isRegistry ? ["Registry", "Registry"] : ["File", "File"];
      const key = rowsOf(table!).find((row) => row[column!] === KeyPath);
      assert.equal(key?.["Component_"], Component, `${Component}: ${KeyPath}`);
    }
  });

  it("keep the settings: written once, left at an upgrade and at a removal", () => {
    const settings = rowsOf("Component").find(({ Component }) => Component === "Settings")!;
    const [permanent, neverOverwrite, in64Bits] = [16, 128, 256];
    assert.equal(Number(settings["Attributes"]), permanent | neverOverwrite | in64Bits);
  });

  it("make the same service as install-service", () => {
    const [service] = rowsOf("ServiceInstall");
    const command = serviceCommands(layoutOf({}), false)[0]!;
    assert.equal(service!["StartName"], command[command.indexOf("obj=") + 1]);
    assert.equal(service!["DisplayName"], command[command.indexOf("DisplayName=") + 1]);
    const folder = service!["Arguments"]!.replace("[CommonAppDataFolder]", "C:\\ProgramData\\");
    assert.ok(hostCommand(layoutOf({})).endsWith(` ${folder}`));
    // Delayed; failures with a status, too; the service's own identifier; preshutdown: ChangeServiceConfig2W.
    assert.deepEqual(
      rowsOf("MsiServiceConfig").map(({ ConfigType, Argument }) => [ConfigType, Argument]),
      [["3", "1"], ["4", "1"], ["5", "1"], ["7", "100000"]],
    );
    const [failures] = rowsOf("MsiServiceConfigFailureActions");
    assert.equal(failures!["DelayActions"], "10000[~]60000[~]600000");
    assert.equal(failures!["Actions"], "1[~]1[~]1");
  });

  it("start the service after an upgrade, and wait for no start", () => {
    const [start] = rowsOf("ServiceControl").filter(({ Event }) => (Number(Event) & 1) !== 0);
    assert.equal(start!["Wait"], "0");
    const component = rowsOf("Component").find(({ Component }) =>
      Component === start!["Component_"]
    );
    assert.equal(component!["Condition"], "OLDERFOUND");
  });

  it("give the data to administrators, the system and the service alone", () => {
    const access = Object.fromEntries(
      rowsOf("MsiLockPermissionsEx").map(({ LockObject, SDDLText }) => [LockObject, SDDLText]),
    );
    const service = serviceSid("smtp-oauth-relay");
    const read = `O:BAG:BAD:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1200a9;;;${service})`;
    const modify = read.replace("0x1200a9", "0x1301bf");
    assert.deepEqual(access, { DATADIR: read, CERTSDIR: read, LOGSDIR: modify, QUEUEDIR: modify });
  });

  it("are known as an upgrade of any older version and of a candidate, and refuse to go back", () => {
    const [older, newer] = rowsOf("Upgrade");
    assert.deepEqual([older!["VersionMin"], older!["VersionMax"]], ["", "1.2.3"]);
    // msidbUpgradeAttributesVersionMaxInclusive; msidbUpgradeAttributesOnlyDetect.
    assert.equal(older!["Attributes"], "512");
    assert.equal(newer!["Attributes"], "2");
    assert.ok(rowsOf("LaunchCondition").some(({ Condition }) => Condition === "NOT NEWERFOUND"));
  });

  it("refuse a folder of settings that no installation has made", () => {
    const [search, made] = rowsOf("AppSearch");
    assert.equal(
      rowsOf("DrLocator").find(({ Signature_ }) => Signature_ === search!["Signature_"])!["Path"],
      "[CommonAppDataFolder]smtp-oauth-relay",
    );
    const [locator] = rowsOf("RegLocator");
    assert.equal(locator!["Signature_"], made!["Signature_"]);
    // The value that is looked for is written by the package, stays when it is removed, and is install-service's.
    const value = rowsOf("Registry").find(({ Name }) => Name === locator!["Name"])!;
    assert.equal(value["Key"], locator!["Key"]);
    const component = rowsOf("Component").find(({ Component }) =>
      Component === value["Component_"]
    );
    assert.equal(Number(component!["Attributes"]) & 16, 16);
    const added = serviceCommands(layoutOf({}), false).find((command) =>
      command.includes(value["Name"]!)
    );
    assert.equal(added![2], `HKLM\\${value["Key"]}`);
    const secure = rowsOf("Property").find(({ Property }) =>
      Property === "SecureCustomProperties"
    )!;
    for (const name of ["DATAFOUND", "DATAMADE", "KEEPDATA"]) {
      assert.ok(secure["Value"]!.split(";").includes(name), name);
      assert.ok(rowsOf("LaunchCondition").some(({ Condition }) => Condition!.includes(name)), name);
    }
    for (const name of ["InstallUISequence", "InstallExecuteSequence"]) {
      const at = (action: string) =>
        Number(rowsOf(name).find(({ Action }) => Action === action)!["Sequence"]);
      assert.ok(at("AppSearch") < at("LaunchConditions"), name);
    }
  });

  it("have other codes for another content, and the same for the same", () => {
    const changed = {
      ...FACTS,
      files: FACTS.files.map((file) => ({ ...file, md5: createHash("md5").update("x").digest() })),
    };
    for (const what of ["product", "package"]) {
      assert.equal(contentCode(what, FACTS), contentCode(what, FACTS));
      assert.notEqual(contentCode(what, FACTS), contentCode(what, changed));
      assert.match(contentCode(what, FACTS), /^\{[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\}$/);
    }
    const upgrade = (facts: MsiFacts) =>
      rowsOf("Property", facts).find(({ Property }) => Property === "UpgradeCode")!["Value"];
    assert.equal(upgrade(FACTS), upgrade(changed));
  });

  it("stay the same for all versions in what Windows knows them by", () => {
    // Windows Installer forgets what it has installed if these change.
    const known = [
      upgradeCode(),
      ...rowsOf("Component").map(({ Component, ComponentId }) => `${Component} ${ComponentId}`),
    ].join("\n");
    assert.equal(createHash("sha256").update(known).digest("hex").slice(0, 16), "8818708679f726e2");
  });
});

function upgradeCode(): string {
  return rowsOf("Property").find(({ Property }) => Property === "UpgradeCode")!["Value"]!;
}

describe("a version for Windows Installer", () => {
  it("has three numbers", () => {
    assert.equal(msiVersion("1.2.3"), "1.2.3");
    assert.equal(msiVersion("1.2.3-rc.1+build"), "1.2.3");
    assert.throws(() => msiVersion("256.0.0"), /too large/);
    assert.throws(() => msiVersion("1.2"), /no semantic version/);
  });
});

describe("the host of the service", () => {
  it("has the names and numbers that the relay's side has", () => {
    const text = readFileSync(`${ROOT}deploy/windows/service_host.c`, "utf8");
    assert.match(text, /SetEnvironmentVariableW\(L"NOTIFY_SOCKET", L"-"\)/);
    assert.match(text, /WriteFile\(running->input, "reload\\n", 7,/);
    const page = readFileSync(`${ROOT}docs/windows.md`, "utf8");
    const ids = [...text.matchAll(/EVENT_[A-Z]+ = (\d+)/g)].map(([, id]) => id!);
    assert.ok(ids.length > 5);
    for (const id of ids) assert.match(page, new RegExp(`^\\| ${id} +\\|`, "m"), `event ${id}`);
    assert.ok(readdirSync(`${ROOT}deploy/windows`).includes("service_host.c"));
  });
});
