// Carries out a scripted fault: sends its response, or breaks the connection.

import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Context } from "hono";
import type { NodeHttpPeer } from "../observe/node_server.ts";
import type { Fault } from "./faults.ts";

/** Milliseconds after which a connection that gets no response is closed. */
const BLACKHOLE = 10 * 60_000;
/** Milliseconds between the octets of a dripping response. */
const DRIP = 1_000;

/** Makes the body of an error in the imitated service's form. */
export type ErrorBody = (fault: Fault, requestId: string) => object;

export async function faultResponse(
  context: Context,
  fault: Fault,
  errorBody: ErrorBody,
): Promise<Response> {
  const { delay = 0, connection } = fault;
  if (connection !== "drip") await pause(delay);
  const { status, headers, body } = responseOf(fault, errorBody);
  if (connection === undefined) return new Response(body, { status, headers });
  if (connection === "drip") {
    const octets = Buffer.from(body ?? "");
    headers["Content-Length"] = String(octets.length);
    return new Response(dripping(octets, delay || DRIP), { status, headers });
  }

  const outgoing = outgoingOf(context);
  if (outgoing === undefined) {
    return context.text(`the fault ${connection} needs a connection of node:http`, 500);
  }
  const { socket } = outgoing;
  switch (connection) {
    case "close":
      socket?.destroy();
      break;
    case "reset":
      socket?.resetAndDestroy();
      break;
    case "truncate": {
      const whole = Buffer.from(body ?? " ".repeat(100));
      outgoing.writeHead(status, { ...headers, "Content-Length": String(whole.length) });
      await new Promise<void>((resolve) => {
        outgoing.write(whole.subarray(0, whole.length >> 1), () => resolve());
        outgoing.once("close", resolve);
      });
      socket?.destroy();
      break;
    }
    case "blackhole":
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, BLACKHOLE);
        outgoing.once("close", () => {
          clearTimeout(timer);
          resolve();
        });
        if (outgoing.destroyed || socket?.destroyed) resolve();
      });
      socket?.destroy();
      break;
  }
  return RESPONSE_ALREADY_SENT;
}

function responseOf(fault: Fault, errorBody: ErrorBody): {
  status: number;
  headers: Record<string, string>;
  body: string | null;
} {
  const { status = 503, retryAfter, location, html = false } = fault;
  const requestId = randomUUID();
  const headers: Record<string, string> = { "request-id": requestId };
  if (retryAfter !== undefined) headers["Retry-After"] = String(retryAfter);
  if (location !== undefined) headers["Location"] = location;
  if (status === 204 || status === 205 || status === 304) return { status, headers, body: null };
  if (html) {
    headers["Content-Type"] = "text/html; charset=utf-8";
    const title = `${status} A page of a gateway`;
    return { status, headers, body: `<!doctype html><title>${title}</title><h1>${title}</h1>` };
  }
  // Only refusals have an error in the body; Graph's 202 is empty.
  if (status < 400) return { status, headers, body: fault.connection === "drip" ? "{}" : null };
  headers["Content-Type"] = "application/json";
  return { status, headers, body: JSON.stringify(errorBody(fault, requestId)) };
}

function dripping(octets: Uint8Array, interval: number): ReadableStream<Uint8Array> {
  let next = 0;
  let gone = () => {};
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (next >= octets.length) return controller.close();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, interval);
        gone = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      controller.enqueue(octets.subarray(next, ++next));
    },
    cancel: () => gone(),
  }, { highWaterMark: 0 });
}

/** The response object of node:http; undefined for calls from the same process. */
function outgoingOf({ env }: Context): ServerResponse | undefined {
  return ((env ?? {}) as Partial<NodeHttpPeer>).outgoing;
}

export function pause(milliseconds: number): Promise<void> {
  if (milliseconds <= 0) return Promise.resolve();
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
