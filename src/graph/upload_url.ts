// The address that an upload session names: it carries its own right to write, and the message's
// attachment goes there, so it is looked at before it is used.
// https://learn.microsoft.com/graph/outlook-large-attachments

import { serviceWords } from "../service_text.ts";

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
/** Characters; the token in such an address takes about 2000. */
const MAX_LENGTH = 16 * 1024;
/** Characters of a scheme, a domain of 255 at most, and a port. */
const MAX_ORIGIN = 300;

/**
 * Where Outlook is, by the host of the Graph that speaks for it: an upload goes to Outlook itself.
 * https://learn.microsoft.com/microsoft-365/enterprise/microsoft-365-endpoints and its siblings for
 * the national clouds, "Exchange Online"
 */
const UPLOAD_HOSTS: Readonly<Record<string, readonly string[]>> = {
  "graph.microsoft.com": ["outlook.office.com", "outlook.office365.com"],
  "graph.microsoft.us": ["outlook.office365.us"],
  "dod-graph.microsoft.us": ["outlook-dod.office365.us", "webmail.apps.mil"],
  "microsoftgraph.chinacloudapi.cn": ["partner.outlook.cn"],
};
/** A GRAPH_ENDPOINT that is none of these, such as a gateway, hands on what one of the clouds says. */
const ALL_HOSTS = Object.values(UPLOAD_HOSTS).flat();

/**
 * https only, and only where the cloud's Outlook is, or where Graph itself is; on their own ports.
 * http only on a loopback address, and only where Graph itself is such a one.
 *
 * @param text what the service says
 * @param graph an address of the Graph that said it
 */
export function uploadUrl(text: unknown, graph: string): URL | undefined {
  if (!isUrl(text)) return undefined;
  const url = new URL(text);
  const service = new URL(graph);
  if (url.username !== "" || url.password !== "") return undefined;
  if (isPlainLoopback(url)) return isPlainLoopback(service) ? url : undefined;
  if (url.protocol !== "https:") return undefined;
  if (url.host === service.host) return url;
  // With a port of its own, the host would have it at its end.
  const known = Object.hasOwn(UPLOAD_HOSTS, service.host) ? UPLOAD_HOSTS[service.host]! : ALL_HOSTS;
  return known.includes(url.host) ? url : undefined;
}

/**
 * URIs are ASCII (RFC 3986 §2). To make that of a host of other letters takes time that grows faster
 * than the text: such a text is not even looked at, nor is one that is too long.
 */
function isUrl(text: unknown): text is string {
  return typeof text === "string" && text.length <= MAX_LENGTH && /^[\x21-\x7e]*$/.test(text) &&
    URL.canParse(text);
}

function isPlainLoopback({ protocol, hostname }: URL): boolean {
  return protocol === "http:" && LOOPBACK.test(hostname);
}

/** Where an address leads, for the log: the rest of it is a right to write. */
export function originIn(text: unknown): string {
  const origin = isUrl(text) ? new URL(text).origin : undefined;
  return serviceWords(origin)?.slice(0, MAX_ORIGIN) ?? "no address";
}
