/** What independent mail readers find in a report. */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

type Fields = readonly (readonly [name: string, value: string])[];

export interface PythonReport {
  /** Names in lower case. */
  readonly header: Fields;
  readonly type: string;
  readonly reportType: string | null;
  readonly defects: readonly string[];
  /** The type, and the groups of fields or the text. */
  readonly parts: readonly (readonly [type: string, content: readonly Fields[] | string])[];
}

/** One process for all. @returns undefined without Python 3 */
export async function readReports(
  reports: readonly Buffer[],
): Promise<readonly PythonReport[] | undefined> {
  const script = fileURLToPath(new URL("reports.py", import.meta.url));
  const child = spawn("python3", ["-I", script], { stdio: ["pipe", "pipe", "inherit"] });
  const { promise, resolve } = Promise.withResolvers<readonly PythonReport[] | undefined>();
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => output += text);
  child.on("error", () => resolve(undefined));
  child.on("close", (status) => resolve(status === 0 ? JSON.parse(output) : undefined));
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(reports.map((report) => report.toString("base64"))));
  return await promise;
}

/** The fields as an object; a name that occurs twice has both values. */
export function asObject(fields: Fields): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of fields) {
    found[name] = name in found ? `${found[name]}, ${value}` : value;
  }
  return found;
}
