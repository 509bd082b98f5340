// Talks to smtp-oauth-relay-service.exe (deploy/windows/service_host.c), which starts the relay as a Windows
// service: standard output takes what the relay would tell systemd, standard input brings requests. A
// signal cannot be sent to a program without a console.

import process from "node:process";
import type { Messenger, Requests } from "../systemd/manager.ts";

/** NOTIFY_SOCKET in a relay that the host has started: standard output instead of a socket. */
export const STANDARD_OUTPUT = "-";

/** Requests longer than this are none of the host's. */
const MAX_LINE = 64;

export function serviceHost(
  input: NodeJS.ReadableStream = process.stdin,
  output: NodeJS.WritableStream = process.stdout,
): Messenger {
  // The host has ended, and the system ends the relay with it.
  output.on("error", () => {});
  return {
    sendDatagram(_path, text) {
      output.write(`${text}\n`);
      return 0;
    },
    monotonic: () => process.hrtime.bigint() / 1000n,
    requests: requestsOf(input),
  };
}

/** The line `reload`, and the end of the stream, which asks for a stop. */
function requestsOf(input: NodeJS.ReadableStream): Requests {
  let reload = () => {};
  const { promise: stop, resolve } = Promise.withResolvers<void>();
  let line = "";
  input.setEncoding("utf8");
  input.on("data", (text: string) => {
    const lines = (line + text).split("\n");
    line = lines.pop()!.slice(0, MAX_LINE);
    for (const request of lines) if (request.trimEnd() === "reload") reload();
  });
  for (const event of ["end", "close", "error"]) input.on(event, () => resolve());
  return { stop, onReload: (handler) => void (reload = handler) };
}
