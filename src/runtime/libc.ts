// The few calls of Linux's C library that neither runtime offers: datagrams to a path (unix(7)), the
// address of an inherited socket (getsockname(2)), and the clock that the service manager reads. Loaded
// only under a service manager.

import { Buffer } from "node:buffer";

export interface Libc {
  /** Sends one datagram to an AF_UNIX socket without waiting. @returns errno; 0 if it was sent */
  sendDatagram(path: string, text: string): number;
  /** What the descriptor is. */
  describe(descriptor: number): SocketFacts;
  /** Keeps child processes from inheriting the descriptor. */
  closeOnExec(descriptor: number): void;
  /** CLOCK_MONOTONIC in microseconds, the same for all processes of the machine. */
  monotonic(): bigint;
}

export type SocketFacts =
  | { readonly type: "listening"; readonly hostname: string; readonly port: number }
  /** @param what the descriptor is, in words, instead of a listening TCP socket */
  | { readonly type: "other"; readonly what: string };

/** errno(3), as on x86 and arm. */
export const EAGAIN = 11;
const EINVAL = 22;
const ENOTSOCK = 88;

// <sys/socket.h>, <fcntl.h>, <time.h>
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const CLOCK_MONOTONIC = 1;
/** Octets of `sun_path`. */
const MAX_PATH = 108;

/** The C library's file names: glibc's, then musl's. */
const NAMES = ["libc.so.6", "libc.so"];

/** The functions as they are called: buffers are passed as pointers, results are numbers. */
interface Functions {
  socket(domain: number, type: number, protocol: number): number;
  sendto(
    descriptor: number,
    data: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ): number | bigint;
  close(descriptor: number): number;
  getsockname(descriptor: number, address: Uint8Array, length: Uint8Array): number;
  getsockopt(
    descriptor: number,
    level: number,
    name: number,
    value: Uint8Array,
    length: Uint8Array,
  ): number;
  fcntl(descriptor: number, command: number, value: number): number;
  clock_gettime(clock: number, time: Uint8Array): number;
  errno(): number;
}

/** Types of the functions, in names that both runtimes know. */
const SIGNATURES: Readonly<Record<string, readonly [parameters: string[], result: string]>> = {
  socket: [["i32", "i32", "i32"], "i32"],
  sendto: [["i32", "buffer", "usize", "i32", "buffer", "u32"], "i64"],
  close: [["i32"], "i32"],
  getsockname: [["i32", "buffer", "buffer"], "i32"],
  getsockopt: [["i32", "i32", "i32", "buffer", "buffer"], "i32"],
  fcntl: [["i32", "i32", "i32"], "i32"],
  clock_gettime: [["i32", "buffer"], "i32"],
  __errno_location: [[], "pointer"],
};

let loaded: Promise<Libc> | undefined;

/** @throws Error if none can be loaded: not on Linux, or not permitted */
export function loadLibc(): Promise<Libc> {
  return loaded ??= open().then((functions) => new LinuxLibc(functions));
}

async function open(): Promise<Functions> {
  const load = "Bun" in globalThis ? await bunLoader() : loadByDeno;
  let problem: unknown;
  for (const name of NAMES) {
    try {
      return load(name);
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

// The part of Bun's API that is used here (https://bun.sh/docs/api/ffi).
interface BunFfi {
  dlopen(
    name: string,
    symbols: Record<string, { args: string[]; returns: string }>,
  ): { symbols: Record<string, (...args: unknown[]) => number> };
  read: { i32(pointer: number, offset: number): number };
}

const BUN_TYPES: Readonly<Record<string, string>> = { buffer: "ptr", pointer: "ptr" };

async function bunLoader(): Promise<(name: string) => Functions> {
  const { dlopen, read } = await import("bun:ffi") as BunFfi;
  const typed = (type: string) => BUN_TYPES[type] ?? type;
  return (name) => {
    const { symbols } = dlopen(
      name,
      Object.fromEntries(
        Object.entries(SIGNATURES).map(([key, [parameters, result]]) =>
          [key, { args: parameters.map(typed), returns: typed(result) }] as const
        ),
      ),
    );
    const errno = () => read.i32(symbols["__errno_location"]!(), 0);
    return { ...symbols, errno } as unknown as Functions;
  };
}

function loadByDeno(name: string): Functions {
  const { symbols } = Deno.dlopen(
    name,
    Object.fromEntries(
      Object.entries(SIGNATURES).map(([key, [parameters, result]]) =>
        [key, { parameters, result } as unknown as Deno.ForeignFunction] as const
      ),
    ),
  );
  const calls = symbols as unknown as Record<string, (...args: unknown[]) => number>;
  const location = symbols["__errno_location"] as unknown as () => Deno.PointerObject;
  const errno = () => new Deno.UnsafePointerView(location()).getInt32();
  return { ...calls, errno } as unknown as Functions;
}

class LinuxLibc implements Libc {
  readonly #calls: Functions;

  constructor(functions: Functions) {
    this.#calls = functions;
  }

  sendDatagram(path: string, text: string): number {
    const address = unixAddress(path);
    if (address === undefined) return EINVAL;
    const descriptor = this.#calls.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return this.#errno();
    try {
      const octets = Buffer.from(text, "utf8");
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      const sent = this.#calls.sendto(
        descriptor,
        octets,
        octets.length,
        flags,
        address,
        address.length,
      );
      return Number(sent) < 0 ? this.#errno() : 0;
    } finally {
      this.#calls.close(descriptor);
    }
  }

  describe(descriptor: number): SocketFacts {
    const type = this.#option(descriptor, SO_TYPE);
    if (type === undefined) {
      return { type: "other", what: this.#errno() === ENOTSOCK ? "not a socket" : "not open" };
    }
    const address = Buffer.alloc(128);
    this.#calls.getsockname(descriptor, address, int(address.length));
    const view = new DataView(address.buffer, address.byteOffset);
    const family = view.getUint16(0, LITTLE_ENDIAN);
    if (family !== AF_INET && family !== AF_INET6) {
      return {
        type: "other",
        what: family === AF_UNIX ? "an AF_UNIX socket" : "of another family",
      };
    }
    if (type !== SOCK_STREAM) return { type: "other", what: "not a TCP socket (ListenDatagram=?)" };
    if (this.#option(descriptor, SO_ACCEPTCONN) !== 1) {
      return { type: "other", what: "a connection, not a listening socket (Accept=yes?)" };
    }
    const port = address.readUInt16BE(2);
    const hostname = family === AF_INET
      ? address.subarray(4, 8).join(".")
      : ipv6(address.subarray(8, 24));
    return { type: "listening", hostname, port };
  }

  closeOnExec(descriptor: number): void {
    this.#calls.fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  }

  monotonic(): bigint {
    const time = Buffer.alloc(16);
    this.#calls.clock_gettime(CLOCK_MONOTONIC, time);
    const view = new DataView(time.buffer, time.byteOffset);
    const [seconds, nanoseconds] = [
      view.getBigInt64(0, LITTLE_ENDIAN),
      view.getBigInt64(8, LITTLE_ENDIAN),
    ];
    return seconds * 1_000_000n + nanoseconds / 1000n;
  }

  #option(descriptor: number, name: number): number | undefined {
    const value = int(0);
    if (this.#calls.getsockopt(descriptor, SOL_SOCKET, name, value, int(4)) !== 0) return undefined;
    return new DataView(value.buffer, value.byteOffset).getInt32(0, LITTLE_ENDIAN);
  }

  /** Never 0: the runtime may have made other calls since, which change it. */
  #errno(): number {
    return this.#calls.errno() || EINVAL;
  }
}

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** A C `int` in memory. */
function int(value: number): Uint8Array {
  const octets = new Uint8Array(4);
  new DataView(octets.buffer).setInt32(0, value, LITTLE_ENDIAN);
  return octets;
}

/** `struct sockaddr_un` (unix(7)): `@` stands for the NUL of an abstract name. */
function unixAddress(path: string): Uint8Array | undefined {
  const octets = Buffer.from(path, "utf8");
  const abstract = path.startsWith("@");
  if (!abstract && !path.startsWith("/")) return undefined;
  // An abstract name ends with the address, a path with a NUL.
  const length = octets.length + (abstract ? 0 : 1);
  if (length > MAX_PATH || octets.length < 2) return undefined;
  const address = Buffer.alloc(2 + length);
  new DataView(address.buffer, address.byteOffset).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  octets.copy(address, 2);
  if (abstract) address[2] = 0;
  return address;
}

/** In the form of RFC 5952. */
function ipv6(octets: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => octets.readUInt16BE(2 * i).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
