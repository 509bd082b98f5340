// Checks the address of an upload session before it is used: it carries its own right to write, and
// the attachment goes there.
// https://learn.microsoft.com/graph/outlook-large-attachments

import { serviceWords } from "../service_text.ts";

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
/** Characters; the token in such an address has about 2000. */
const MAX_LENGTH = 16 * 1024;
/** Characters of a scheme, a domain of 255 at most, and a port. */
const MAX_ORIGIN = 300;

/**
 * Outlook's hosts by Graph's host: an upload goes to Outlook itself.
 * https://learn.microsoft.com/microsoft-365/enterprise/microsoft-365-endpoints and its siblings for
 * the national clouds, "Exchange Online"
 */
const UPLOAD_HOSTS: Readonly<Record<string, readonly string[]>> = {
  "graph.microsoft.com": ["outlook.office.com", "outlook.office365.com"],
  "graph.microsoft.us": ["outlook.office365.us"],
  "dod-graph.microsoft.us": ["outlook-dod.office365.us", "webmail.apps.mil"],
  "microsoftgraph.chinacloudapi.cn": ["partner.outlook.cn"],
};
/** Another GRAPH_ENDPOINT, such as a gateway, may belong to any of the clouds. */
const ALL_HOSTS = Object.values(UPLOAD_HOSTS).flat();

/**
 * Accepts https on the hosts and ports of the cloud's Outlook or of Graph itself; http only on a
 * loopback address, and only if Graph's address is one too.
 *
 * @param text the address from the service
 * @param graph an address of that Graph
 */
export function uploadUrl(text: unknown, graph: string): URL | undefined {
  if (!isUrl(text)) return undefined;
  const url = new URL(text);
  const service = new URL(graph);
  if (url.username !== "" || url.password !== "") return undefined;
  if (isPlainLoopback(url)) return isPlainLoopback(service) ? url : undefined;
  if (url.protocol !== "https:") return undefined;
  if (url.host === service.host) return url;
  // `host` includes a port that is not the default one.
  const known = Object.hasOwn(UPLOAD_HOSTS, service.host) ? UPLOAD_HOSTS[service.host]! : ALL_HOSTS;
  return known.includes(url.host) ? url : undefined;
}

/**
 * URIs are ASCII (RFC 3986 §2). Converting a host of other letters takes more than linear time, so
 * such a text is rejected first, and so is one that is too long.
 */
function isUrl(text: unknown): text is string {
  return typeof text === "string" && text.length <= MAX_LENGTH && /^[\x21-\x7e]*$/.test(text) &&
    URL.canParse(text);
}

function isPlainLoopback({ protocol, hostname }: URL): boolean {
  return protocol === "http:" && LOOPBACK.test(hostname);
}

/** The origin of an address, for the log: the rest is a right to write. */
export function originIn(text: unknown): string {
  const origin = isUrl(text) ? new URL(text).origin : undefined;
  return serviceWords(origin)?.slice(0, MAX_ORIGIN) ?? "no address";
}
