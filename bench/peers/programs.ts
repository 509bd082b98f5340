// The relay and what it is measured beside: how each is started, and which of them can be had here.

import { execFileSync } from "node:child_process";
import process from "node:process";
import { executable, root } from "../support.ts";
import { buildGoRelay, goSmtpVersion } from "./go.ts";
import type { PeerId } from "./results.ts";

export interface Setup {
  readonly port: number;
  /** Files. */
  readonly certificate: string;
  readonly key: string;
  /** The cloud's base URL. */
  readonly cloud: string;
  /** A free port. */
  readonly http: number;
}

export interface Peer {
  readonly id: PeerId;
  /** With its version. */
  readonly name: string;
  command(setup: Setup): readonly string[];
  environment?(setup: Setup): Record<string, string>;
}

export interface Peers {
  readonly found: readonly Peer[];
  /** Those that could not be had, each with the reason. */
  readonly missing: readonly string[];
}

/** Debian's own Python, which finds Debian's packages. */
const PYTHON = "/usr/bin/python3";

/** @throws Error where the executable itself is missing */
export function findPeers(): Peers {
  const found: Peer[] = [ours()];
  const missing: string[] = [];
  for (const [name, find] of Object.entries(FINDERS)) {
    try {
      found.push(find());
    } catch (error) {
      missing.push(`${name} (${(error as Error).message.trim().split("\n")[0]})`);
    }
  }
  return { found, missing };
}

function ours(): Peer {
  const path = executable();
  return {
    id: "ours",
    name: output(path, ["--version"]),
    command: () => [path, "serve"],
    environment: ({ port, http, certificate, key, cloud }) => ({
      SMTP_LISTEN: `127.0.0.1:${port}`,
      HTTP_LISTEN: `127.0.0.1:${http}`,
      LOG_LEVEL: "INFO",
      TLS_CERT_FILEPATH: certificate,
      TLS_KEY_FILEPATH: key,
      AZURE_AUTHORITY_HOST: `${cloud}/entra`,
      GRAPH_ENDPOINT: `${cloud}/graph`,
    }),
  };
}

const FINDERS: Readonly<Record<string, () => Peer>> = {
  "smtp-server": () => ({
    id: "smtp-server",
    name: `smtp-server ${versionOf("smtp-server")} and fetch on ${bunVersion()}`,
    command: (setup) => ["bun", `${root}bench/throughput/baseline.ts`, ...positional(setup)],
    // Bun's fetch sends 256 requests at once by default.
    environment: () => ({ BUN_CONFIG_MAX_HTTP_REQUESTS: "20000" }),
  }),
  "go-smtp": () => {
    const path = buildGoRelay();
    return {
      id: "go-smtp",
      name: `go-smtp ${goSmtpVersion()} and net/http`,
      command: (setup) => [path, ...positional(setup)],
    };
  },
  "aiosmtpd": () => {
    const versions = "import aiosmtpd, requests; print(aiosmtpd.__version__, requests.__version__)";
    const [aiosmtpd, requests] = output(PYTHON, ["-c", versions]).split(" ");
    return {
      id: "aiosmtpd",
      name: `aiosmtpd ${aiosmtpd} and requests ${requests}`,
      command: (setup) => [PYTHON, `${root}bench/peers/relay.py`, ...positional(setup)],
    };
  },
  "smtp-sink": () => {
    const version = output("postconf", ["-h", "mail_version"]);
    // It refuses to run as root.
    const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
    return {
      id: "smtp-sink",
      name: `smtp-sink of Postfix ${version}`,
      command: ({ port }) => ["smtp-sink", ...user, `127.0.0.1:${port}`, "1000"],
    };
  },
  "the bare sketch": () => ({
    id: "sketch",
    name: `a bare sketch on ${bunVersion()}`,
    command: (setup) => ["bun", `${root}bench/throughput/sketch.ts`, ...positional(setup)],
  }),
};

function positional({ certificate, key, cloud, port }: Setup): string[] {
  return [certificate, key, cloud, String(port)];
}

function output(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
    .trim();
}

function versionOf(module: string): string {
  return output("bun", ["-p", `require("${module}/package.json").version`]);
}

function bunVersion(): string {
  return `Bun ${output("bun", ["--version"])}`;
}
