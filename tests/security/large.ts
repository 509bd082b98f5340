/** Messages with attachments that are too large for one request to Graph. */
import { Buffer } from "node:buffer";

/** Base64 of so many octets. */
export function attachmentOf(size: number): string {
  return Buffer.alloc(size, "The quick brown fox").toString("base64").replace(/.{76}/g, "$&\r\n");
}

export function largeMessageWith(attachments: readonly string[]): string {
  const parts = attachments.map((base64, i) =>
    `--b\r\nContent-Type: application/pdf; name="${i}.pdf"\r\n` +
    `Content-Transfer-Encoding: base64\r\n\r\n${base64}\r\n`
  );
  return "From: alice@example.com\r\nTo: bob@example.net\r\n" +
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n${parts.join("")}--b--`;
}
