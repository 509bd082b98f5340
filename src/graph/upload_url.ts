// The address that an upload session names: it carries its own right to write, and the message's
// attachment goes there, so it is looked at before it is used.

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;
/** Characters; the token in such an address takes about 2000. */
const MAX_LENGTH = 16 * 1024;

/**
 * https only; http only on a loopback address, and only where Graph itself is such a one.
 *
 * @param text what the service says
 * @param graph an address of the Graph that said it
 */
export function uploadUrl(text: unknown, graph: string): URL | undefined {
  if (typeof text !== "string" || text.length > MAX_LENGTH || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return undefined;
  if (url.protocol === "https:") return url;
  return isPlainLoopback(url) && isPlainLoopback(new URL(graph)) ? url : undefined;
}

function isPlainLoopback({ protocol, hostname }: URL): boolean {
  return protocol === "http:" && LOOPBACK.test(hostname);
}
