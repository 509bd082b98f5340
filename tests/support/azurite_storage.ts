/**
 * Azurite's blob and queue services, the real things as a process of its own, whose clock a test can put
 * forward: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ACCOUNT } from "./azurite.ts";

const MAIN = fileURLToPath(
  new URL("../../node_modules/azurite/dist/src/azurite.js", import.meta.url),
);
/**
 * Loaded before it: tells the ports that a port 0 has become, in the order blobs, queues, tables, and puts
 * the clock forward by the milliseconds of each line that comes in. Unused connections stay for as long as in
 * the real service: after five seconds, the default, one would be closed that a slow machine is about to use.
 */
const HOOK = `
  const { Server } = require("node:net");
  const { listen } = Server.prototype;
  Server.prototype.listen = function (...options) {
    this.once("listening", () => {
      this.keepAliveTimeout = 600000;
      console.log("port " + this.address().port);
    });
    return listen.apply(this, options);
  };
  const RealDate = Date;
  let ahead = 0;
  globalThis.Date = class extends RealDate {
    constructor(...parts) {
      if (parts.length === 0) super(RealDate.now() + ahead);
      else super(...parts);
    }
    static now() {
      return RealDate.now() + ahead;
    }
  };
  require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
    ahead += Number(line);
    console.log("ahead " + ahead);
  });
`;

export interface AzuriteStorage {
  readonly endpoints: { readonly blobs: URL; readonly queues: URL };
  /** Milliseconds that its clock is ahead. */
  readonly ahead: number;
  /** Puts its clock forward: leases end, and hidden pointers become visible. @param time milliseconds */
  pass(time: number): Promise<void>;
  /** Ends it with all its data: it keeps them in memory. */
  stop(): Promise<void>;
}

export interface AzuriteStorageOptions {
  /** Paths of PEM files: then it speaks https, and takes tokens (`--oauth basic`). */
  readonly tls?: { readonly certificate: string; readonly key: string };
}

export async function startAzuriteStorage(
  { tls }: AzuriteStorageOptions = {},
): Promise<AzuriteStorage> {
  const folder = mkdtempSync(join(tmpdir(), "azurite-"));
  const hook = join(folder, "hook.cjs");
  writeFileSync(hook, HOOK);
  const services = ["blob", "queue", "table"];
  const child = spawn("node", [
    ...["--require", hook, MAIN],
    "--inMemoryPersistence",
    "--skipApiVersionCheck",
    "--disableTelemetry",
    "--silent",
    ...services.flatMap((name) => [`--${name}Host`, "127.0.0.1", `--${name}Port`, "0"]),
    ...(tls === undefined ? [] : ["--oauth", "basic", "--cert", tls.certificate, "--key", tls.key]),
  ], {
    cwd: folder,
    env: { PATH: process.env["PATH"], HOME: folder },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const said = listenTo(child);
  const started = /^port (\d+)\n[^]*^port (\d+)\n[^]*^port \d+\n[^]*Table service is successfully/m;
  const [, blobs, queues] = await said(started);
  const scheme = tls === undefined ? "http" : "https";
  const endpoint = (port: string) => new URL(`${scheme}://127.0.0.1:${port}/${ACCOUNT}`);
  let ahead = 0;
  return {
    endpoints: { blobs: endpoint(blobs!), queues: endpoint(queues!) },
    get ahead() {
      return ahead;
    },
    async pass(time) {
      ahead += time;
      child.stdin!.write(`${time}\n`);
      await said(new RegExp(`^ahead ${ahead}$`, "m"));
    },
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

/** Waits until the process has said something. */
function listenTo(child: ChildProcess): (pattern: RegExp) => Promise<RegExpExecArray> {
  let said = "";
  let check = () => {};
  let fail = (_error: Error) => {};
  const read = (text: string) => {
    said += text;
    check();
  };
  child.stdout!.setEncoding("utf8").on("data", read);
  child.stderr!.setEncoding("utf8").on("data", read);
  child.once("close", () => fail(new Error(`Azurite ended: ${said}`)));
  return (pattern) =>
    new Promise((resolve, reject) => {
      fail = reject;
      check = () => {
        const match = pattern.exec(said);
        if (match !== null) resolve(match);
      };
      check();
    });
}
