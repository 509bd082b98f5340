// The command lines that make the service: sc.exe, reg.exe and icacls.exe, each an array of arguments.

import { win32 } from "node:path";
import {
  ACCOUNT,
  DATA_MADE,
  DESCRIPTION,
  DISPLAY_NAME,
  EVENT_MESSAGES,
  EVENT_SOURCE,
  EVENT_TYPES,
  FAILURE_RESET,
  HOST,
  type Layout,
  PACKAGE,
  PRESHUTDOWN,
  RESTARTS,
  SERVICE,
  serviceSid,
} from "./names.ts";

export type Command = readonly string[];

/**
 * An argument as programs of Windows read it (CommandLineToArgvW): in quotes where it has to be; backslashes
 * are doubled before a quote, and nowhere else.
 */
export function quoted(argument: string): string {
  if (/^[^\s"]+$/.test(argument)) return argument;
  return `"${argument.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, "$1$1")}"`;
}

export function commandLine(command: Command): string {
  return command.map(quoted).join(" ");
}

/** What the service manager runs: the host, with the folder of the settings. */
export function hostCommand({ programs, data }: Layout): string {
  // Always in quotes: Windows would first look for C:\Program.exe.
  return `"${win32.join(programs, HOST)}" "${data}"`;
}

/** @param exists whether there is a service of this name, which is brought to this version */
export function serviceCommands(layout: Layout, exists: boolean): readonly Command[] {
  const actions = RESTARTS.map((pause) => `restart/${pause}`).join("/");
  return [
    [
      ...["sc.exe", exists ? "config" : "create", SERVICE],
      ...["binPath=", hostCommand(layout), "start=", "delayed-auto", "obj=", ACCOUNT],
      ...["DisplayName=", DISPLAY_NAME],
    ],
    ["sc.exe", "description", SERVICE, DESCRIPTION],
    ["sc.exe", "failure", SERVICE, "reset=", String(FAILURE_RESET), "actions=", actions],
    // Also if it ends with a status, and not only if its process is gone.
    ["sc.exe", "failureflag", SERVICE, "1"],
    ["sc.exe", "sidtype", SERVICE, "unrestricted"],
    // sc.exe has no command for it. In force from the next start of Windows on.
    addValue(
      `SYSTEM\\CurrentControlSet\\Services\\${SERVICE}`,
      "PreshutdownTimeout",
      "REG_DWORD",
      String(PRESHUTDOWN),
    ),
    addValue(EVENT_SOURCE, "EventMessageFile", "REG_EXPAND_SZ", EVENT_MESSAGES),
    addValue(EVENT_SOURCE, "TypesSupported", "REG_DWORD", String(EVENT_TYPES)),
    addValue(PACKAGE, DATA_MADE, "REG_SZ", "1"),
  ];
}

function addValue(key: string, name: string, type: string, data: string): Command {
  return ["reg.exe", "add", `HKLM\\${key}`, "/v", name, "/t", type, "/d", data, "/f"];
}

/** Well-known identifiers, because the names are other ones in each language. */
const ADMINISTRATORS = "*S-1-5-32-544";
const SYSTEM = "*S-1-5-18";

/**
 * Looks whether something in the data belongs to another user: each may make folders in %ProgramData%, also this
 * one, with settings in it. Ends with 1 and says what, if so.
 */
export function ownerCommand(host: string, { data }: Layout): Command {
  return [host, "--check", data];
}

/** Who may read and write the data. */
export function accessCommands({ data }: Layout): readonly Command[] {
  const service = `*${serviceSid(SERVICE)}`;
  const inherited = (who: string, what: string) => `${who}:(OI)(CI)${what}`;
  return [
    ["icacls.exe", data, "/setowner", ADMINISTRATORS],
    [
      ...["icacls.exe", data, "/inheritance:r", "/grant:r"],
      ...[inherited(ADMINISTRATORS, "F"), inherited(SYSTEM, "F"), inherited(service, "RX")],
    ],
    ...WRITTEN.map((name) => [
      // The service may put a link in the place of its folder: /L keeps away from what that leads to.
      ...["icacls.exe", win32.join(data, name), "/L", "/grant:r", inherited(service, "M")],
    ]),
  ];
}

/** The folders below the data that the service writes, and all of them. */
export const WRITTEN = ["logs", "queue"] as const;
export const FOLDERS = ["certs", ...WRITTEN] as const;

export const REMOVAL: readonly Command[] = [
  ["sc.exe", "delete", SERVICE],
  ["reg.exe", "delete", `HKLM\\${EVENT_SOURCE}`, "/f"],
];
