// What a scenario needs: certificates, clouds, peers, and a process of a peer with its usage.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Certificate } from "../../src/certificates/certificate.ts";
import {
  selfSignedCertificate,
  selfSignedClientCertificate,
} from "../../src/certificates/self_signed.ts";
import { Script } from "../processes.ts";
import { greeting } from "../startup.ts";
import { firstLine, freePort } from "../support.ts";
import { bun } from "../throughput.ts";
import type { Peer } from "./programs.ts";
import type { PeerId, Values } from "./results.ts";

/** Of ECDSA on P-256, or of RSA with 2048 bits. */
export type Kind = "ecdsa" | "rsa";

export interface StartOptions {
  /** The cloud's base URL. */
  readonly cloud: string;
  /** Of ECDSA without it. */
  readonly kind?: Kind;
  readonly environment?: Record<string, string>;
}

/** A process of a peer. */
export interface Started {
  readonly peer: Peer;
  readonly name: string;
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  /** Milliseconds until its greeting. */
  readonly startTime: number;
  stop(): Promise<void>;
}

export interface Cloud {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** What a scenario has measured, by the ids of figures.ts. */
export type Figures = Record<string, Values>;

export class World {
  readonly #directory = mkdtempSync(join(tmpdir(), "relay-bench-"));
  readonly #peers: readonly Peer[];
  /** Rounds of a scenario that has so many by itself. */
  readonly rounds: (usual: number) => number;

  private constructor(peers: readonly Peer[], rounds: number | undefined) {
    this.#peers = peers;
    this.rounds = (usual) => rounds ?? usual;
  }

  static async create(peers: readonly Peer[], rounds: number | undefined): Promise<World> {
    const world = new World(peers, rounds);
    world.#store("ecdsa", await selfSignedCertificate());
    world.#store("rsa", await selfSignedClientCertificate());
    return world;
  }

  #store(kind: Kind, { certificate, privateKey }: Certificate): void {
    writeFileSync(this.#file(kind, "cert"), certificate);
    writeFileSync(this.#file(kind, "key"), privateKey);
  }

  #file(kind: Kind, part: "cert" | "key"): string {
    return join(this.#directory, `${kind}-${part}.pem`);
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }

  /** Those of these that can be had. */
  peers(...ids: readonly PeerId[]): Peer[] {
    return this.#peers.filter(({ id }) => ids.includes(id));
  }

  /** The cheapest cloud. @param delay milliseconds that it takes for a message */
  async cloud(delay = 0): Promise<Cloud> {
    const child = bun("bench/throughput/cloud.ts", String(delay));
    const url = `http://127.0.0.1:${await firstLine(child)}`;
    return { url, pid: child.pid!, stop: () => stopped(child) };
  }

  /** A cloud that knows upload sessions. */
  async uploadCloud(): Promise<Cloud> {
    const script = new Script("bench/memory/gathering_cloud.ts", { calm: 0 });
    return {
      url: await script.line(),
      pid: script.child.pid!,
      stop: () => script.end(),
    };
  }

  /** Starts a peer, and waits for its greeting. */
  async start(peer: Peer, { cloud, kind = "ecdsa", environment }: StartOptions): Promise<Started> {
    const setup = {
      port: await freePort(),
      http: await freePort(),
      certificate: this.#file(kind, "cert"),
      key: this.#file(kind, "key"),
      cloud,
    };
    const [command, ...args] = peer.command(setup);
    // To a file, as a service manager does it; only the executable logs something.
    const log = openSync(join(this.#directory, `${peer.id}.log`), "w");
    const begun = performance.now();
    const child = spawn(command!, args, {
      env: { PATH: process.env["PATH"], ...peer.environment?.(setup), ...environment },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (status) => reject(new Error(`${peer.name} ended with ${status}`)));
    });
    ended.catch(() => {});
    await Promise.race([greeting(setup.port), ended]);
    const startTime = performance.now() - begun;
    const { port } = setup;
    const stop = () => stopped(child);
    return { peer, name: peer.name, child, pid: child.pid!, port, startTime, stop };
  }
}

function stopped(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}

/** In turns: each round begins with another one. */
export function inTurn<T>(all: readonly T[], round: number): readonly T[] {
  const first = round % Math.max(1, all.length);
  return [...all.slice(first), ...all.slice(0, first)];
}

/** Collects the values of each round. */
export class Collected {
  readonly figures: Record<string, Partial<Record<PeerId, number[]>>> = {};

  add(figure: string, peer: PeerId, value: number): void {
    ((this.figures[figure] ??= {})[peer] ??= []).push(value);
  }
}
