// The tables of the .msi package, as text for msibuild(1): what Windows Installer does with them is in
// Microsoft's reference, "Database Tables". Installing does without code of our own.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import {
  ACCOUNT,
  DATA_MADE,
  DESCRIPTION as SERVICE_DESCRIPTION,
  DISPLAY_NAME,
  EVENT_MESSAGES,
  EVENT_SOURCE,
  EVENT_TYPES,
  FAILURE_RESET,
  HOST,
  PACKAGE,
  PRESHUTDOWN,
  RELAY,
  RESTARTS,
  SERVICE,
  serviceSid,
  SETTINGS,
} from "../../src/windows/names.ts";

/** A file of the package. */
export interface MsiFile {
  /** Its identifier, and its name in the cabinet. */
  readonly id: string;
  readonly name: string;
  readonly size: number;
  /** MD5 of the content. */
  readonly md5: Uint8Array;
}

export interface MsiFacts {
  /** Of package.json. */
  readonly version: string;
  /** Seconds since 1970. */
  readonly epoch: number;
  readonly manufacturer: string;
  readonly summary: string;
  /** Those of {@link FILES}, in this order. */
  readonly files: readonly MsiFile[];
}

/** The files in the order of the cabinet, with the folder of each. */
export const FILES = [
  { id: "Relay", name: RELAY, component: "Program", folder: "INSTALLDIR" },
  { id: "Host", name: HOST, component: "Service", folder: "INSTALLDIR" },
  { id: "License", name: "LICENSE.txt", component: "Texts", folder: "INSTALLDIR" },
  { id: "Notices", name: "THIRD_PARTY_LICENSES.txt", component: "Texts", folder: "INSTALLDIR" },
  { id: "Settings", name: SETTINGS, component: "Settings", folder: "DATADIR" },
] as const;

export const CABINET = "relay.cab";

/** The same for all versions: by it, Windows Installer knows an older one. */
export const UPGRADE_CODE = guid("upgrade");

const LOCAL_MACHINE = 2;
/** The folders below the data, with what the service may do there besides to read. */
const FOLDERS = [["CERTSDIR", "certs", false], ["LOGSDIR", "logs", true], [
  "QUEUEDIR",
  "queue",
  true,
]] as const;

// Bits of the tables.
const COMPONENT_64 = 256;
const COMPONENT_PERMANENT = 16;
const COMPONENT_NEVER_OVERWRITE = 128;
const COMPONENT_REGISTRY_KEY = 4;
const FILE_VITAL = 512;
const UPGRADE_MAX_INCLUSIVE = 512;
const UPGRADE_DETECT_ONLY = 2;
const OWN_PROCESS = 16;
const AUTO_START = 2;
const ERROR_NORMAL = 1;
const START_ON_INSTALL = 1;
const STOP_ON_INSTALL = 2;
const STOP_ON_UNINSTALL = 32;
const DELETE_ON_UNINSTALL = 128;
/** Install and reinstall. */
const CONFIGURE = 1 | 4;
const DELAYED_START = 3;
const FAILURE_FLAG = 4;
const SID_TYPE = 5;
const PRESHUTDOWN_TIME = 7;
const REGISTRY_VALUE_64 = 2 | 16;
const RESTART = 1;

type Cell = string | number;
/** A column's name and type; the first `keys` columns are the key. */
interface Table {
  readonly columns: readonly (readonly [name: string, type: string])[];
  readonly keys: number;
  readonly rows: readonly (readonly Cell[])[];
}

/** @returns the text of each table by its name */
export function msiTables(facts: MsiFacts): ReadonlyMap<string, string> {
  const tables: Record<string, Table> = {
    ...productTables(facts),
    ...fileTables(facts),
    ...serviceTables(),
    ...sequenceTables(),
  };
  const texts = Object.entries(tables).map(([name, table]) => [name, idt(name, table)] as const);
  return new Map([["_SummaryInformation", summaryText(facts)], ...texts]);
}

/** `1.2.3`: Windows Installer compares three numbers, and knows no release candidates. */
export function msiVersion(version: string): string {
  const numbers = /^(\d+)\.(\d+)\.(\d+)(?:[-+]|$)/.exec(version)?.slice(1).map(Number);
  if (numbers === undefined) throw new Error(`${version} is no semantic version`);
  if (numbers[0]! > 255 || numbers[1]! > 255 || numbers[2]! > 65535) {
    throw new Error(`${version} is too large for Windows Installer: 255.255.65535`);
  }
  return numbers.join(".");
}

/** The same for the same content: a package with another one has to have another code. */
export function contentCode(what: string, { version, files }: MsiFacts): string {
  const hashes = files.map(({ md5 }) => Buffer.from(md5).toString("hex"));
  return guid(what, version, ...hashes);
}

function guid(...words: readonly string[]): string {
  const hash = createHash("sha1").update(JSON.stringify([SERVICE, ...words])).digest();
  // Version 8, of a form of its own (RFC 9562, 5.8).
  hash[6] = hash[6]! & 0x0f | 0x80;
  hash[8] = hash[8]! & 0x3f | 0x80;
  const digits = hash.toString("hex").toUpperCase();
  const parts = [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]] as const;
  return `{${parts.map(([from, to]) => digits.slice(from, to)).join("-")}}`;
}

function productTables(facts: MsiFacts): Record<string, Table> {
  const version = msiVersion(facts.version);
  const properties = {
    ALLUSERS: "1",
    // There is nothing to choose.
    ARPNOMODIFY: "1",
    Manufacturer: facts.manufacturer,
    ProductCode: contentCode("product", facts),
    ProductLanguage: "1033",
    ProductName: DISPLAY_NAME,
    ProductVersion: version,
    // All files are replaced: the executables have the version of the runtime, which may stay the same.
    REINSTALLMODE: "amus",
    SecureCustomProperties: "OLDERFOUND;NEWERFOUND;DATAFOUND;DATAMADE;KEEPDATA",
    UpgradeCode: UPGRADE_CODE,
  };
  return {
    Property: {
      columns: [["Property", "s72"], ["Value", "l0"]],
      keys: 1,
      rows: Object.entries(properties),
    },
    Upgrade: {
      columns: [
        ["UpgradeCode", "s38"],
        ["VersionMin", "S20"],
        ["VersionMax", "S20"],
        ["Language", "S255"],
        ["Attributes", "i4"],
        ["Remove", "S255"],
        ["ActionProperty", "s72"],
      ],
      keys: 5,
      rows: [
        // A release candidate has the number of its release.
        [UPGRADE_CODE, "", version, "", UPGRADE_MAX_INCLUSIVE, "", "OLDERFOUND"],
        [UPGRADE_CODE, version, "", "", UPGRADE_DETECT_ONLY, "", "NEWERFOUND"],
      ],
    },
    LaunchCondition: {
      columns: [["Condition", "s255"], ["Description", "l255"]],
      keys: 1,
      rows: [
        ["NOT NEWERFOUND", "A newer version is installed: remove it first."],
        ["VersionNT64 >= 603", "This needs Windows 10 or Windows Server 2019 or newer, on x64."],
        // Each user may make this folder, with settings in it.
        [
          "Installed OR OLDERFOUND OR NOT DATAFOUND OR DATAMADE OR KEEPDATA",
          "[DATAFOUND] exists, and no installation has made it: another user may have put settings there. " +
          "Delete it, or install with KEEPDATA=1.",
        ],
      ],
    },
    AppSearch: {
      columns: [["Property", "s72"], ["Signature_", "s72"]],
      keys: 2,
      rows: [["DATAFOUND", "DataFolder"], ["DATAMADE", "DataMade"]],
    },
    // Of a signature that is not in the table Signature, the folder is looked for.
    Signature: {
      columns: [
        ["Signature", "s72"],
        ["FileName", "s255"],
        ["MinVersion", "S20"],
        ["MaxVersion", "S20"],
        ["MinSize", "I4"],
        ["MaxSize", "I4"],
        ["MinDate", "I4"],
        ["MaxDate", "I4"],
        ["Languages", "S255"],
      ],
      keys: 1,
      rows: [],
    },
    DrLocator: {
      columns: [["Signature_", "s72"], ["Parent", "S72"], ["Path", "S255"], ["Depth", "I2"]],
      keys: 3,
      rows: [["DataFolder", "", `[CommonAppDataFolder]${SERVICE}`, 0]],
    },
    RegLocator: {
      columns: [
        ["Signature_", "s72"],
        ["Root", "i2"],
        ["Key", "s255"],
        ["Name", "S255"],
        ["Type", "I2"],
      ],
      keys: 1,
      rows: [["DataMade", LOCAL_MACHINE, PACKAGE, DATA_MADE, REGISTRY_VALUE_64]],
    },
    Feature: {
      columns: [
        ["Feature", "s38"],
        ["Feature_Parent", "S38"],
        ["Title", "L64"],
        ["Description", "L255"],
        ["Display", "I2"],
        ["Level", "i2"],
        ["Directory_", "S72"],
        ["Attributes", "i2"],
      ],
      keys: 1,
      rows: [["Main", "", DISPLAY_NAME, SERVICE_DESCRIPTION, 1, 1, "INSTALLDIR", 0]],
    },
    FeatureComponents: {
      columns: [["Feature_", "s38"], ["Component_", "s72"]],
      keys: 2,
      rows: components().map(([name]) => ["Main", name!]),
    },
  };
}

function components(): readonly (readonly Cell[])[] {
  const component = (
    name: string,
    folder: string,
    attributes: number,
    key: string,
    condition = "",
  ) => [name, guid("component", name), folder, attributes | COMPONENT_64, condition, key];
  return [
    component("Program", "INSTALLDIR", 0, "Relay"),
    component("Service", "INSTALLDIR", 0, "Host"),
    component("Texts", "INSTALLDIR", 0, "License"),
    // Written once; kept by an upgrade and by a removal, as what is beside it.
    component("Settings", "DATADIR", COMPONENT_NEVER_OVERWRITE | COMPONENT_PERMANENT, "Settings"),
    ...FOLDERS.map(([id]) => component(`Folder${id}`, id, COMPONENT_PERMANENT, "")),
    component("Known", "INSTALLDIR", COMPONENT_REGISTRY_KEY, "Installer"),
    component("Made", "DATADIR", COMPONENT_REGISTRY_KEY | COMPONENT_PERMANENT, "DataMade"),
    // An upgrade starts the service again; a first installation cannot, without a certificate.
    component("Restart", "INSTALLDIR", COMPONENT_REGISTRY_KEY, "Restarted", "OLDERFOUND"),
  ];
}

function fileTables({ files }: MsiFacts): Record<string, Table> {
  const facts = FILES.map((file, at) => {
    const given = files[at];
    if (given?.id !== file.id) throw new Error(`the file ${file.id} is not in its place`);
    return { ...file, ...given, sequence: at + 1 };
  });
  const service = serviceSid(SERVICE);
  // Full access, read and execute, modify.
  const access = (of: string) =>
    `O:BAG:BAD:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;${of};;;${service})`;
  const [read, modify] = ["0x1200a9", "0x1301bf"];
  return {
    Directory: {
      columns: [["Directory", "s72"], ["Directory_Parent", "S72"], ["DefaultDir", "l255"]],
      keys: 1,
      rows: [
        ["TARGETDIR", "", "SourceDir"],
        ["ProgramFiles64Folder", "TARGETDIR", "."],
        ["INSTALLDIR", "ProgramFiles64Folder", `RELAY|${SERVICE}`],
        ["CommonAppDataFolder", "TARGETDIR", "."],
        ["DATADIR", "CommonAppDataFolder", `RELAY|${SERVICE}`],
        ...FOLDERS.map(([id, name]) => [id, "DATADIR", name]),
      ],
    },
    Component: {
      columns: [
        ["Component", "s72"],
        ["ComponentId", "S38"],
        ["Directory_", "s72"],
        ["Attributes", "i2"],
        ["Condition", "S255"],
        ["KeyPath", "S72"],
      ],
      keys: 1,
      rows: components(),
    },
    File: {
      columns: [
        ["File", "s72"],
        ["Component_", "s72"],
        ["FileName", "l255"],
        ["FileSize", "i4"],
        ["Version", "S72"],
        ["Language", "S20"],
        ["Attributes", "I2"],
        ["Sequence", "i2"],
      ],
      keys: 1,
      rows: facts.map(({ id, component, name, size, sequence }) => [
        ...[id, component, `${id.toUpperCase()}|${name}`, size, "", ""],
        ...[FILE_VITAL, sequence],
      ]),
    },
    MsiFileHash: {
      columns: [
        ["File_", "s72"],
        ["Options", "i2"],
        ...[1, 2, 3, 4].map((part) => [`HashPart${part}`, "i4"] as const),
      ],
      keys: 1,
      rows: facts.map(({ id, md5 }) => {
        const view = new DataView(md5.buffer, md5.byteOffset, md5.length);
        return [id, 0, ...[0, 4, 8, 12].map((offset) => view.getInt32(offset, true))];
      }),
    },
    Media: {
      columns: [
        ["DiskId", "i2"],
        ["LastSequence", "i2"],
        ["DiskPrompt", "L64"],
        ["Cabinet", "S255"],
        ["VolumeLabel", "S32"],
        ["Source", "S72"],
      ],
      keys: 1,
      rows: [[1, facts.length, "", `#${CABINET}`, "", ""]],
    },
    CreateFolder: {
      columns: [["Directory_", "s72"], ["Component_", "s72"]],
      keys: 2,
      rows: [["DATADIR", "Settings"], ...FOLDERS.map(([id]) => [id, `Folder${id}`])],
    },
    MsiLockPermissionsEx: {
      columns: [
        ["MsiLockPermissionsEx", "s72"],
        ["LockObject", "s72"],
        ["Table", "s32"],
        ["SDDLText", "s0"],
        ["Condition", "S255"],
      ],
      keys: 1,
      rows: [
        ["AccessDATADIR", "DATADIR", "CreateFolder", access(read), ""],
        ...FOLDERS.map(([id, _name, written]) => [
          ...[`Access${id}`, id, "CreateFolder", access(written ? modify : read), ""],
        ]),
      ],
    },
  };
}

function serviceTables(): Record<string, Table> {
  const configured = (id: string, type: number, argument: Cell) => [
    ...[id, SERVICE, CONFIGURE, type, String(argument), "Service"],
  ];
  const value = (id: string, key: string, name: string, text: string, component: string) => [
    ...[id, LOCAL_MACHINE, key, name, text, component],
  ];
  return {
    ServiceInstall: {
      columns: [
        ["ServiceInstall", "s72"],
        ["Name", "s255"],
        ["DisplayName", "L255"],
        ["ServiceType", "i4"],
        ["StartType", "i4"],
        ["ErrorControl", "i4"],
        ["LoadOrderGroup", "S255"],
        ["Dependencies", "S255"],
        ["StartName", "S255"],
        ["Password", "S255"],
        ["Arguments", "S255"],
        ["Component_", "s72"],
        ["Description", "L255"],
      ],
      keys: 1,
      rows: [[
        ...["Service", SERVICE, DISPLAY_NAME, OWN_PROCESS, AUTO_START, ERROR_NORMAL, "", ""],
        // [DATADIR] would end with a backslash, which would escape the quote.
        ...[ACCOUNT, "", `"[CommonAppDataFolder]${SERVICE}"`, "Service", SERVICE_DESCRIPTION],
      ]],
    },
    ServiceControl: {
      columns: [
        ["ServiceControl", "s72"],
        ["Name", "l255"],
        ["Event", "i2"],
        ["Arguments", "L255"],
        ["Wait", "I2"],
        ["Component_", "s72"],
      ],
      keys: 1,
      rows: [
        [
          ...["Stop", SERVICE, STOP_ON_INSTALL | STOP_ON_UNINSTALL | DELETE_ON_UNINSTALL, "", 1],
          "Service",
        ],
        // Does not wait: what is wrong with the settings must not undo the upgrade.
        ["Start", SERVICE, START_ON_INSTALL, "", 0, "Restart"],
      ],
    },
    MsiServiceConfig: {
      columns: [
        ["MsiServiceConfig", "s72"],
        ["Name", "s255"],
        ["Event", "i2"],
        ["ConfigType", "i4"],
        ["Argument", "S0"],
        ["Component_", "s72"],
      ],
      keys: 1,
      rows: [
        configured("Delayed", DELAYED_START, 1),
        configured("FailureFlag", FAILURE_FLAG, 1),
        configured("SidType", SID_TYPE, 1),
        configured("Preshutdown", PRESHUTDOWN_TIME, PRESHUTDOWN),
      ],
    },
    MsiServiceConfigFailureActions: {
      columns: [
        ["MsiServiceConfigFailureActions", "s72"],
        ["Name", "s255"],
        ["Event", "i2"],
        ["ResetPeriod", "I4"],
        ["RebootMessage", "L255"],
        ["Command", "L255"],
        ["Actions", "S0"],
        ["DelayActions", "S0"],
        ["Component_", "s72"],
      ],
      keys: 1,
      rows: [[
        ...["Restarts", SERVICE, CONFIGURE, FAILURE_RESET, "", ""],
        ...[RESTARTS.map(() => RESTART).join("[~]"), RESTARTS.join("[~]"), "Service"],
      ]],
    },
    Registry: {
      columns: [
        ["Registry", "s72"],
        ["Root", "i2"],
        ["Key", "l255"],
        ["Name", "L255"],
        ["Value", "L0"],
        ["Component_", "s72"],
      ],
      keys: 1,
      rows: [
        value("EventMessages", EVENT_SOURCE, "EventMessageFile", `#%${EVENT_MESSAGES}`, "Service"),
        value("EventTypes", EVENT_SOURCE, "TypesSupported", `#${EVENT_TYPES}`, "Service"),
        value("Installer", PACKAGE, "Installer", "msi", "Known"),
        value("DataMade", PACKAGE, DATA_MADE, "1", "Made"),
        value("Restarted", PACKAGE, "Upgraded", "#1", "Restart"),
      ],
    },
  };
}

/** The standard actions, in Microsoft's suggested sequences. */
function sequenceTables(): Record<string, Table> {
  const sequence = (rows: readonly (readonly Cell[])[]): Table => ({
    columns: [["Action", "s72"], ["Condition", "S255"], ["Sequence", "I2"]],
    keys: 1,
    rows: rows.map(([action, number, condition = ""]) => [action!, condition, number!]),
  });
  const costing = [["CostInitialize", 800], ["FileCost", 900], ["CostFinalize", 1000]] as const;
  const before = [
    ["FindRelatedProducts", 25],
    ["AppSearch", 50],
    ["LaunchConditions", 100],
    [
      "ValidateProductID",
      700,
    ],
    ...costing,
    ["MigrateFeatureStates", 1200],
  ] as const;
  return {
    InstallExecuteSequence: sequence([
      ...before,
      ["InstallValidate", 1400],
      // First, so that nothing of the older version is compared with the new one.
      ["RemoveExistingProducts", 1450],
      ["InstallInitialize", 1500],
      ["ProcessComponents", 1600],
      ["UnpublishFeatures", 1800],
      ["StopServices", 1900, "VersionNT"],
      ["DeleteServices", 2000, "VersionNT"],
      ["RemoveRegistryValues", 2600],
      ["RemoveFiles", 3500],
      ["RemoveFolders", 3600],
      ["CreateFolders", 3700],
      ["InstallFiles", 4000],
      ["WriteRegistryValues", 5000],
      ["InstallServices", 5800, "VersionNT"],
      ["MsiConfigureServices", 5850, 'VersionMsi >= "5.00"'],
      ["StartServices", 5900, "VersionNT"],
      ["RegisterUser", 6000],
      ["RegisterProduct", 6100],
      ["PublishFeatures", 6300],
      ["PublishProduct", 6400],
      ["InstallFinalize", 6600],
    ]),
    InstallUISequence: sequence([...before, ["ExecuteAction", 1300]]),
    AdminExecuteSequence: sequence([
      ...costing,
      ["InstallValidate", 1400],
      ["InstallInitialize", 1500],
      ["InstallAdminPackage", 3900],
      ["InstallFiles", 4000],
      ["InstallFinalize", 6600],
    ]),
    AdminUISequence: sequence([...costing, ["ExecuteAction", 1300]]),
    AdvtExecuteSequence: sequence([
      ...costing.filter(([action]) => action !== "FileCost"),
      ["InstallValidate", 1400],
      ["InstallInitialize", 1500],
      ["PublishFeatures", 6300],
      ["PublishProduct", 6400],
      ["InstallFinalize", 6600],
    ]),
  };
}

/** The summary information: [MS-OLEPS] property set, with the codes of Windows Installer. */
function summaryText(facts: MsiFacts): string {
  const time = new Date(facts.epoch * 1000).toISOString().slice(0, 19).replaceAll("-", "/")
    .replace("T", " ");
  return idt("_SummaryInformation", {
    columns: [["PropertyId", "i2"], ["Value", "l255"]],
    keys: 1,
    rows: [
      // Windows-1252; title, subject, author, keywords, comments.
      [1, 1252],
      [2, "Installation Database"],
      [3, facts.summary],
      [4, facts.manufacturer],
      [5, "Installer"],
      [6, SERVICE_DESCRIPTION],
      // Processor and language; the package's code; made and changed.
      [7, "x64;1033"],
      [9, contentCode("package", facts)],
      [12, time],
      [13, time],
      // Windows Installer 5.0; long file names, compressed; program; opened read-only.
      [14, 500],
      [15, 2],
      [18, "msitools"],
      [19, 2],
    ],
  });
}

/** As msibuild reads it: names, types, and the table with its keys; then the rows. */
function idt(name: string, { columns, keys, rows }: Table): string {
  const lines = [
    columns.map(([column]) => column),
    columns.map(([_name, type]) => type),
    [name, ...columns.slice(0, keys).map(([column]) => column)],
    ...rows,
  ];
  for (const cell of rows.flat()) {
    if (/[\t\r\n]/.test(String(cell))) {
      throw new Error(`${name} cannot hold ${JSON.stringify(cell)}`);
    }
  }
  return lines.map((cells) => `${cells.join("\t")}\r\n`).join("");
}
