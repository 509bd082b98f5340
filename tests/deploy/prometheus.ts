// Debian's Prometheus with its promtool, on the loopback.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Running } from "../end_to_end/programs.ts";

const PROMETHEUS = "/usr/bin/prometheus";
const PROMTOOL = "/usr/bin/promtool";

/** Why they cannot be used on this machine, if so. */
export const ABSENT = existsSync(PROMETHEUS) && existsSync(PROMTOOL)
  ? false
  : "prometheus is not installed";

/** @returns what it has printed, and its exit status */
export function promtool(args: readonly string[], input = ""): { status: number; said: string } {
  const { status, stdout, stderr } = spawnSync(PROMTOOL, args, { input, encoding: "utf8" });
  return { status: status ?? -1, said: stdout + stderr };
}

export interface Scrape {
  /** The relay's HTTP port. */
  readonly port: number;
  readonly password: string;
  /** A file of rules. */
  readonly rules: string;
}

/** A sample of a query's result. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

export class Prometheus {
  readonly #running: Running;
  readonly #directory: string;
  readonly #url: string;

  private constructor(running: Running, directory: string, url: string) {
    this.#running = running;
    this.#directory = directory;
    this.#url = url;
  }

  /** Scrapes a relay and evaluates the rules each second. */
  static async start({ port, password, rules }: Scrape): Promise<Prometheus> {
    const directory = mkdtempSync(join(tmpdir(), "relay-prometheus-"));
    const config = join(directory, "prometheus.yml");
    // JSON is YAML.
    writeFileSync(
      config,
      JSON.stringify({
        global: { scrape_interval: "1s", evaluation_interval: "1s" },
        rule_files: [rules],
        scrape_configs: [{
          job_name: "smtp",
          basic_auth: { username: "prometheus", password },
          static_configs: [{ targets: [`127.0.0.1:${port}`] }],
        }],
      }),
    );
    const running = new Running(spawn(PROMETHEUS, [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(directory, "data")}`,
      "--web.listen-address=127.0.0.1:0",
    ], { stdio: ["ignore", "pipe", "pipe"] }));
    const [, bound] = await running.until(
      "stderr",
      /msg="Listening on" address=127\.0\.0\.1:(\d+)/,
    );
    await running.until("stderr", /msg="Server is ready to receive web requests\."/);
    return new Prometheus(running, directory, `http://127.0.0.1:${bound}`);
  }

  /** @throws Error with Prometheus's own words */
  async query(expression: string): Promise<readonly Sample[]> {
    const query = new URLSearchParams({ query: expression });
    const response = await fetch(`${this.#url}/api/v1/query?${query}`);
    const { status, error, data } = await response.json() as {
      status: string;
      error?: string;
      data: { result: readonly Sample[] };
    };
    if (status !== "success") throw new Error(`${expression}: ${error}`);
    return data.result;
  }

  /** Waits until a query finds something. */
  async until(expression: string): Promise<readonly Sample[]> {
    const end = Date.now() + 30_000;
    for (;;) {
      const found = await this.query(expression);
      if (found.length > 0) return found;
      if (Date.now() > end) throw new Error(`${expression} finds nothing`);
      await sleep(100);
    }
  }

  async stop(): Promise<void> {
    await this.#running.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
