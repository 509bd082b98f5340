// The certificate that an address shows, whoever it is from: to name who opens TLS on the way. Makes a
// handshake and hangs up; nothing is said inside of it.

import { isIP } from "node:net";
import { connect, type PeerCertificate } from "node:tls";

export interface Peer {
  /** Such as `Corp Firewall CA (Corp)`. */
  readonly issuer: string;
  readonly subject: string;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly until: number;
}

/** @returns undefined where there is no handshake within `timeout` milliseconds */
export function presentedCertificate(url: URL, timeout: number): Promise<Peer | undefined> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port: url.port === "" ? 443 : Number(url.port),
      // It is looked at just because it is not trusted.
      rejectUnauthorized: false,
      ...(isIP(host) ? {} : { servername: host }),
    });
    const end = (peer: Peer | undefined) => {
      socket.destroy();
      resolve(peer);
    };
    socket.setTimeout(timeout, () => end(undefined));
    socket.on("error", () => end(undefined));
    socket.on("close", () => end(undefined));
    socket.on("secureConnect", () => end(peerOf(socket.getPeerCertificate())));
  });
}

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

/** A name may have several values of a kind. */
function one(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.join(", ");
}
