/**
 * Serves HTML and attachments from strangers safely: HTML for an iframe that runs no script and loads
 * nothing, attachments as downloads (RFC 6266, RFC 8187).
 */
import { Buffer } from "node:buffer";
import type { MessageAttachment } from "./message_content.ts";

/**
 * No script, form, plug-in or navigation, an origin of its own, nothing from the network. The response's
 * policy applies wherever the document is opened, including outside of the page's iframe.
 *
 * @param remoteImages whether the reader has asked for images from the network
 */
export function htmlPolicy(remoteImages: boolean): string {
  const images = remoteImages ? "data: https: http:" : "data:";
  return `sandbox; default-src 'none'; img-src ${images}; style-src 'unsafe-inline'`;
}

/** Types of images that browsers only draw. Not SVG, which is a document with scripts. */
const SAFE_IMAGES = new Set([
  "image/avif",
  "image/bmp",
  "image/gif",
  "image/jpeg",
  "image/png",
  "image/webp",
]);

/** Characters of data: URLs in one document: a small image can be referenced a million times. */
const MAX_INLINED = 48 * 1024 * 1024;

/** The type that an attachment is served with. */
export function safeType({ contentType }: MessageAttachment): string {
  return SAFE_IMAGES.has(contentType) ? contentType : "application/octet-stream";
}

/** The message's HTML as a document to be served with its policy, {@link htmlPolicy}. */
export function htmlDocument(
  html: string,
  attachments: readonly MessageAttachment[],
  remoteImages = false,
): string {
  return `<!doctype html><meta charset="utf-8"><base target="_blank">` +
    `<style>body{margin:16px 24px;font-family:system-ui,sans-serif}</style>` +
    inlineImages(quiet(withoutHints(html), remoteImages), attachments);
}

/**
 * Removes what the policy forbids, so that the browser does not report it: event handlers, and addresses
 * of images unless the reader wants them. Relative addresses lead nowhere. The policy is what protects:
 * this may miss some.
 */
function quiet(html: string, remoteImages: boolean): string {
  const calm = html.replace(/<[a-z][^<>]{0,20000}>/gi, (tag) => {
    const silent = tag.replace(HANDLER, "$1data-$2");
    return remoteImages ? silent : withoutUrls(silent.replace(REMOTE_SOURCE, "$1data-remote-$2"));
  });
  if (remoteImages) return calm;
  return calm.replace(
    /<style\b[^]*?(?:<\/style|$)/gi,
    (style) => withoutUrls(style).replace(/@import\b/gi, "@not-imported"),
  );
}

function withoutUrls(css: string): string {
  return css.replace(/(url\(\s{0,8}["']?)(?!["'\s)#]|(?:data|cid):)/gi, "$1data:,");
}

const HANDLER = /([\s/"'])(on[a-z]{1,40})(?=\s{0,8}=)/gi;
const REMOTE_SOURCE =
  /(\s)(src|srcset|background|poster)(?=\s{0,8}=(?!\s{0,8}["']?\s{0,8}(?:data|cid):))/gi;

/**
 * <link> can resolve and connect to hosts (preconnect), <meta> can refresh, and not every browser's policy
 * stops all of that. <basefont> replaces them: the parser treats it alike (void, allowed in head), and it
 * does nothing. <base> is removed so that the sandbox's own is the only one, with which a click on a link
 * does nothing instead of showing an error in the frame. <script> becomes <template>, which shows as
 * little as a script that may not run.
 */
function withoutHints(html: string): string {
  return html.replace(/<(?:link|meta|base)(?=[\s/>])/gi, "<basefont")
    .replace(/<(\/?)script(?=[\s/>])/gi, "<$1template");
}

/** Replaces `cid:` URLs (RFC 2392) by the attached images that they refer to. */
function inlineImages(html: string, attachments: readonly MessageAttachment[]): string {
  const images = new Map<string, string>();
  for (const part of attachments) {
    if (part.contentId === undefined || !SAFE_IMAGES.has(part.contentType)) continue;
    if (images.has(part.contentId)) continue;
    if (part.size > MAX_INLINED * 3 / 4) continue;
    const base64 = Buffer.concat(part.chunks).toString("base64");
    images.set(part.contentId, `data:${part.contentType};base64,${base64}`);
  }
  if (images.size === 0) return html;

  let room = MAX_INLINED;
  return html.replace(
    /(=\s{0,8}["']?|url\(["']?)cid:([^"'<>\s)]{1,998})/gi,
    (whole, before: string, id: string) => {
      const image = images.get(id) ?? images.get(percentDecoded(id));
      if (image === undefined || image.length > room) return whole;
      room -= image.length;
      return before + image;
    },
  );
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Content-Disposition of a download. The file name comes from a stranger: characters that could end the
 * header, choose a folder, or show the name in an order other than its own become `_`.
 */
export function contentDisposition(part: MessageAttachment): string {
  const fallback = part.contentType === "message/rfc822" ? "eml" : "bin";
  const name = [...part.filename.toWellFormed()].slice(0, 150).join("")
    // Controls, format characters (including bidirectional overrides), line and path separators, and
    // what Windows does not allow.
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}/\\:*?"<>|]/gu, "_")
    .replace(/^[.\s]+|[.\s]+$/g, "") || `attachment-${part.index + 1}.${fallback}`;
  const ascii = name.replace(/[^\x20-\x7e]|%/g, "_");
  const extended = encodeURIComponent(name)
    .replace(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${ascii}"; filename*=UTF-8''${extended}`;
}
