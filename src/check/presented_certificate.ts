// The certificate that a server presents, trusted or not: it names the proxy that intercepts TLS. Makes
// a handshake and disconnects; no request is sent.

import { Buffer } from "node:buffer";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type PeerCertificate } from "node:tls";
import type { Proxy } from "../runtime/runtime.ts";
import { serviceWords } from "../service_text.ts";

export interface Peer {
  /** Such as `Corp Firewall CA (Corp)`. */
  readonly issuer: string;
  readonly subject: string;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly until: number;
}

export interface PeerOptions {
  readonly hostname: string;
  readonly port: number;
  /** The proxy to connect through, if there is one. */
  readonly proxy?: Proxy | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

/** @returns undefined if there is no handshake in time */
export function presentedCertificate(options: PeerOptions): Promise<Peer | undefined> {
  const { hostname, port, proxy, timeout } = options;
  return new Promise((resolve) => {
    const socket = connectTcp(
      proxy === undefined ? { host: hostname, port } : {
        host: proxy.hostname,
        port: proxy.port,
      },
    );
    const end = (peer?: Peer) => {
      clearTimeout(timer);
      resolve(peer);
      socket.destroy();
    };
    const timer = setTimeout(end, timeout);
    const shake = () => {
      const secured = connectTls({
        socket,
        // The certificate is read because it is not trusted.
        rejectUnauthorized: false,
        ...(isIP(hostname) ? {} : { servername: hostname }),
      });
      secured.on("error", () => end());
      secured.on("secureConnect", () => end(peerOf(secured.getPeerCertificate())));
    };
    socket.on("error", () => end());
    socket.on("close", () => end());
    socket.on("connect", () => {
      if (proxy === undefined) shake();
      else askProxy(socket, proxy, options, shake);
    });
  });
}

/** CONNECT (RFC 9110 §9.3.6). Any response but success closes the connection. */
function askProxy(
  socket: Socket,
  { authorization }: Proxy,
  { hostname, port }: PeerOptions,
  connected: () => void,
): void {
  const target = isIP(hostname) === 6 ? `[${hostname}]:${port}` : `${hostname}:${port}`;
  const field = authorization === undefined
    ? ""
    : `Proxy-Authorization: ${authorization.reveal()}\r\n`;
  let head = "";
  const read = (octets: Uint8Array) => {
    head += Buffer.from(octets).toString("latin1");
    if (!head.includes("\r\n\r\n")) {
      if (head.length > MAX_HEAD) socket.destroy();
      return;
    }
    socket.off("data", read);
    socket.pause();
    if (/^HTTP\/1\.[01] 2\d\d/.test(head)) connected();
    else socket.destroy();
  };
  socket.on("data", read);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${field}\r\n`, "latin1");
}

/** Octets. */
const MAX_HEAD = 16 * 1024;

function peerOf(certificate: PeerCertificate): Peer | undefined {
  if (certificate?.issuer === undefined) return undefined;
  return {
    issuer: shown(certificate.issuer),
    subject: shown(certificate.subject),
    from: Date.parse(certificate.valid_from),
    until: Date.parse(certificate.valid_to),
  };
}

function shown({ CN, O }: PeerCertificate["issuer"]): string {
  const [name, organization] = [one(CN), one(O)];
  if (name === undefined) return organization ?? "no name";
  return organization === undefined ? name : `${name} (${organization})`;
}

/** Characters (X.520, ub-common-name): the text is not trusted. */
const MAX_NAME = 64;

/** A name may have several values of a kind. */
function one(value: string | readonly string[] | undefined): string | undefined {
  return serviceWords(typeof value === "string" ? value : value?.join(", "))?.slice(0, MAX_NAME);
}
