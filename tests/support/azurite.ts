/**
 * Azurite's table service, the real thing as a process of its own: it is a program for Node, whatever
 * runtime the tests are on. https://learn.microsoft.com/azure/storage/common/storage-use-azurite
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { AzureNamedKeyCredential, TableClient } from "@azure/data-tables";
import { azureTransport } from "../../src/azure/transport.ts";
import { HttpClient } from "../../src/http/client.ts";

const MAIN = fileURLToPath(
  new URL("../../node_modules/azurite/dist/src/table/main.js", import.meta.url),
);
/** Loaded before it: tells the port that a port 0 has become, which it does not print itself. */
const TELL_PORT = `
  const { Server } = require("node:net");
  const { listen } = Server.prototype;
  Server.prototype.listen = function (...options) {
    this.once("listening", () => console.log("port " + this.address().port));
    return listen.apply(this, options);
  };
`;

export const ACCOUNT = "devstoreaccount1";
/** The emulator's well-known one. */
export const ACCOUNT_KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
export const CONNECTION_STRING = `AccountName=${ACCOUNT};AccountKey=${ACCOUNT_KEY}`;

export interface AzuriteOptions {
  /** 0 for a free one. */
  readonly port?: number;
  /** PEM: then it speaks https, and takes tokens (`--oauth basic`). */
  readonly tls?: { readonly certificate: string; readonly key: string };
}

export interface Azurite {
  readonly port: number;
  /** Of a table. */
  url(table: string): string;
  /** Ends it with all its data: it keeps its tables in memory. */
  stop(): Promise<void>;
}

/** @param options `tls`: paths of PEM files */
export async function startAzurite({ port = 0, tls }: AzuriteOptions = {}): Promise<Azurite> {
  const folder = mkdtempSync(join(tmpdir(), "azurite-"));
  const hook = join(folder, "tell_port.cjs");
  writeFileSync(hook, TELL_PORT);
  const child = spawn("node", [
    ...["--require", hook, MAIN],
    "--inMemoryPersistence",
    "--skipApiVersionCheck",
    "--disableTelemetry",
    "--silent",
    ...["--tableHost", "127.0.0.1"],
    ...["--tablePort", String(port)],
    ...(tls === undefined ? [] : ["--oauth", "basic", "--cert", tls.certificate, "--key", tls.key]),
  ], {
    cwd: folder,
    env: { PATH: process.env["PATH"], HOME: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const bound = await portOf(child);
  const scheme = tls === undefined ? "http" : "https";
  return {
    port: bound,
    url: (table) => `${scheme}://127.0.0.1:${bound}/${ACCOUNT}/${table}`,
    stop() {
      const ended = new Promise<void>((resolve) => {
        child.once("close", () => {
          rmSync(folder, { recursive: true, force: true });
          resolve();
        });
      });
      process.kill(child.pid!, "SIGKILL");
      return ended;
    },
  };
}

function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let said = "";
    const read = (text: string) => {
      said += text;
      const port = /^port (\d+)\n[^]*successfully started/m.exec(said)?.[1];
      if (port !== undefined) resolve(Number(port));
    };
    child.stdout!.setEncoding("utf8").on("data", read);
    child.stderr!.setEncoding("utf8").on("data", read);
    child.once("close", () => reject(new Error(`Azurite ended: ${said}`)));
  });
}

/** A client that may do all, for setting the stage. @param authority PEM, for https */
export function admin(azurite: Azurite, table: string, authority?: string) {
  const url = new URL(azurite.url(table));
  const http = new HttpClient(authority === undefined ? {} : { authorities: [authority] });
  const client = new TableClient(
    `${url.origin}/${ACCOUNT}`,
    table,
    new AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY),
    { allowInsecureConnection: url.protocol === "http:", httpClient: azureTransport(http) },
  );
  return {
    client,
    /** Makes or replaces an entry. */
    put: (rowKey: string, columns: Record<string, unknown>, partitionKey = "user") =>
      client.upsertEntity({ partitionKey, rowKey, ...columns }, "Replace"),
    close: () => http.close(),
  };
}
