// A listening socket as a service manager hands it over: a descriptor that no runtime knows of.

import { Buffer } from "node:buffer";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SIGNATURES = {
  socket: ["i32", "i32", "i32"],
  bind: ["i32", "buffer", "u32"],
  listen: ["i32", "i32"],
  getsockname: ["i32", "buffer", "buffer"],
} as const;
type Calls = Record<keyof typeof SIGNATURES, (...args: unknown[]) => number>;

async function calls(): Promise<Calls> {
  const entries = Object.entries(SIGNATURES);
  if ("Deno" in globalThis) {
    const symbols = entries.map(([name, parameters]) => [name, { parameters, result: "i32" }]);
    return Deno.dlopen("libc.so.6", Object.fromEntries(symbols)).symbols as unknown as Calls;
  }
  const { dlopen } = await import("bun:ffi");
  const pointer = (type: string) => type === "buffer" ? "ptr" : type;
  const symbols = entries.map(([name, types]) => [name, {
    args: types.map(pointer),
    returns: "i32",
  }]);
  return dlopen("libc.so.6", Object.fromEntries(symbols)).symbols;
}

export interface HandedOver {
  readonly descriptor: number;
  readonly hostname: string;
  readonly port: number;
}

/** Blocking, as systemd hands sockets over unless told otherwise (systemd.exec, NonBlocking=). */
export async function handedOver(): Promise<HandedOver> {
  const { socket, bind, listen, getsockname } = await calls();
  const descriptor = socket(AF_INET, SOCK_STREAM, 0);
  const address = Buffer.alloc(16);
  new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_INET;
  address.set([127, 0, 0, 1], 4);
  const length = new Uint32Array([16]);
  if (bind(descriptor, address, 16) !== 0 || listen(descriptor, 128) !== 0) {
    throw new Error("cannot make a listening socket");
  }
  getsockname(descriptor, address, length);
  return { descriptor, hostname: "127.0.0.1", port: address.readUInt16BE(2) };
}
