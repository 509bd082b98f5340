/** A certificate authority of the tests' own, and services with certificates from it. */
import "reflect-metadata";
import { Buffer } from "node:buffer";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import * as x509 from "@peculiar/x509";

const DAY_MS = 86_400_000;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export interface ServerCertificate {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface CertificateWishes {
  readonly names?: readonly string[];
  readonly addresses?: readonly string[];
  /** Uniform resource identifiers, in subjectAltName too. */
  readonly uris?: readonly string[];
  /** `service` when left out. */
  readonly commonName?: string;
  /** Days from now. */
  readonly from?: number;
  readonly until?: number;
}

export interface Authority {
  /** PEM */
  readonly certificate: string;
  issue(wishes: CertificateWishes): Promise<ServerCertificate>;
}

export async function createAuthority(name: string): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const own = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 1000 * DAY_MS),
    notAfter: new Date(Date.now() + 1000 * DAY_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  return {
    certificate: own.toString("pem"),
    async issue(
      { names = [], addresses = [], uris = [], commonName = "service", from = -1, until = 1 },
    ) {
      const alternatives = [
        ...uris.map((value) => ({ type: "url" as const, value })),
        ...names.map((value) => ({ type: "dns" as const, value })),
        ...addresses.map((value) => ({ type: "ip" as const, value })),
      ];
      const serverKeys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${commonName}`,
        issuer: own.subject,
        notBefore: new Date(Date.now() + from * DAY_MS),
        notAfter: new Date(Date.now() + until * DAY_MS),
        publicKey: serverKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        // Without any name there is no such extension at all.
        extensions: alternatives.length === 0
          ? []
          : [new x509.SubjectAlternativeNameExtension(alternatives)],
      });
      const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", serverKeys.privateKey));
      return {
        certificate: certificate.toString("pem"),
        privateKey: `-----BEGIN PRIVATE KEY-----\n${
          key.toString("base64").match(/.{1,64}/g)!.join("\n")
        }\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}

export interface TlsServer {
  readonly port: number;
  /** What clients have said inside TLS. */
  readonly heard: () => string;
  close(): Promise<void>;
}

/** @param serve what to do with a connection whose handshake is done, besides reading it */
export async function startTlsServer(
  { certificate, privateKey }: ServerCertificate,
  serve: (socket: TLSSocket, heard: string) => void = () => {},
): Promise<TlsServer> {
  const sockets = new Set<TLSSocket>();
  let heard = "";
  const server = createServer({ cert: certificate, key: privateKey }, (socket) => {
    sockets.add(socket);
    let own = "";
    socket.on("error", () => {});
    socket.on("data", (octets: Uint8Array) => {
      const text = Buffer.from(octets).toString("latin1");
      heard += text;
      own += text;
      serve(socket, own);
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    heard: () => heard,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
