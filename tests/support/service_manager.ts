// A program under the stand-in for a service manager, `service_manager.py`.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("service_manager.py", import.meta.url));

export type SocketKind = "tcp" | "tcp-blocking" | "udp" | "unix";
export interface ManagerOptions {
  /** A path, or `@name` for an abstract socket. */
  readonly notify: string;
  readonly sockets?: readonly (readonly [name: string, kind: SocketKind, address: string])[];
  /** The process that the sockets are for, instead of the program. */
  readonly listen_pid?: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** A line of the stand-in. Times are CLOCK_MONOTONIC in microseconds. */
interface Line {
  readonly at: number;
  readonly pid?: number;
  readonly ports?: readonly number[];
  readonly signal?: string;
  readonly sender?: number;
  readonly text?: string;
  readonly ended?: number;
}

export interface Notification {
  readonly at: number;
  readonly text: string;
}

export class Managed {
  readonly #child: ChildProcess;
  readonly #lines: Line[] = [];
  #rest = "";
  #waiting: (() => void)[] = [];
  #closed = false;
  stderr = "";

  constructor(command: readonly string[], options: ManagerOptions) {
    this.#child = spawn("python3", [SCRIPT, JSON.stringify(options), ...command], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) this.#lines.push(JSON.parse(line));
      this.#wake();
    });
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#wake();
    });
    this.#child.once("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** All that came from the program itself: no other process may notify (NotifyAccess=main). */
  get notifications(): readonly Notification[] {
    const pid = this.#lines.find((line) => line.pid !== undefined)?.pid;
    return this.#lines.filter((line) => line.text !== undefined).map(({ at, text, sender }) => {
      assert.equal(sender, pid, "sent by another process");
      return { at, text: text! };
    });
  }

  async ports(): Promise<readonly number[]> {
    return (await this.#line((line) => line.ports !== undefined)).ports!;
  }

  /** @returns when it was sent */
  async signal(name: string): Promise<number> {
    const before = this.#lines.length;
    this.#child.stdin!.write(name + "\n");
    return (await this.#line((line, i) => i >= before && line.signal === name)).at;
  }

  /** Waits for a notification. @param after the number of those that do not count */
  async notification(pattern: RegExp, after = 0): Promise<Notification> {
    await this.#until(() => this.notifications.slice(after).some(({ text }) => pattern.test(text)));
    const found = this.notifications.slice(after).find(({ text }) => pattern.test(text));
    assert.ok(
      found,
      `${pattern} was not sent: ${JSON.stringify(this.notifications)}\n${this.stderr}`,
    );
    return found;
  }

  /** @returns the program's exit status; minus the signal's number */
  async ended(): Promise<number> {
    return (await this.#line((line) => line.ended !== undefined)).ended!;
  }

  /** At the end of a test, however it went. */
  async end(): Promise<void> {
    if (this.#lines.some((line) => line.ended !== undefined)) return;
    this.#child.stdin!.write("SIGKILL\n");
    await this.#until(() => false);
  }

  async #line(matches: (line: Line, i: number) => boolean): Promise<Line> {
    await this.#until(() => this.#lines.some(matches));
    const found = this.#lines.find(matches);
    assert.ok(found, `ended before: ${JSON.stringify(this.#lines)}\n${this.stderr}`);
    return found;
  }

  /** Or until it has ended. */
  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.#closed) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
