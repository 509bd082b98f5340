/** Hashes of passwords, made by the libraries' own functions and not by the relay's. */
import { Buffer } from "node:buffer";
import { createHash, randomBytes, scryptSync } from "node:crypto";

/** In the form of password_hash. @param method `fast` stands for scrypt, where {@link deriveFast} does */
export function hashOf(password: string, method: "scrypt" | "sha256" | "fast"): string {
  const salt = randomBytes(16);
  const octets = Buffer.from(password, "utf8");
  const hash = method === "scrypt"
    ? scryptSync(octets, salt, 32, { N: 16384, r: 8, p: 1 })
    : method === "fast"
    ? fast(octets, salt)
    : createHash("sha256").update(Buffer.concat([salt, octets])).digest();
  const name = method === "sha256" ? method : "scrypt$ln=14,r=8,p=1";
  return `$${name}$${base64(salt)}$${base64(hash)}`;
}

/** Takes the place of scrypt in tests that do not need its cost. */
export function deriveFast(password: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
  return Promise.resolve(fast(password, salt));
}

function fast(password: Uint8Array, salt: Uint8Array): Uint8Array {
  return createHash("sha256").update("fast").update(salt).update(password).digest();
}

function base64(octets: Uint8Array): string {
  return Buffer.from(octets).toString("base64").replace(/=+$/, "");
}
