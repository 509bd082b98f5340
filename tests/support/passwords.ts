/** Hashes of passwords, made by the libraries' own functions and not by the relay's. */
import { Buffer } from "node:buffer";
import { createHash, randomBytes, scryptSync } from "node:crypto";

/** In the form of password_hash. */
export function hashOf(password: string, method: "scrypt" | "sha256"): string {
  const salt = randomBytes(16);
  const hash = method === "scrypt"
    ? scryptSync(password, salt, 32, { N: 16384, r: 8, p: 1 })
    : createHash("sha256").update(Buffer.concat([salt, Buffer.from(password, "utf8")])).digest();
  const parameters = method === "scrypt" ? "$ln=14,r=8,p=1" : "";
  return `$${method}${parameters}$${base64(salt)}$${base64(hash)}`;
}

function base64(octets: Uint8Array): string {
  return Buffer.from(octets).toString("base64").replace(/=+$/, "");
}
