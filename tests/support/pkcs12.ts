/** PKCS#12 as Key Vault returns them, made here: RSA and EC keys, old and new encryption. */
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import forge from "node-forge";

const { asn1, pki } = forge;
const { SEQUENCE, INTEGER, OCTETSTRING, OID } = asn1.Type;

const DATA = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA = "1.2.840.113549.1.7.6";
const SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2";
const CERTIFICATE_BAG = "1.2.840.113549.1.12.10.1.3";
const X509 = "1.2.840.113549.1.9.22.1";

export interface Pkcs12Wishes {
  /** PEM; in the order of the file. */
  readonly certificates: readonly string[];
  /** PEM; none where it cannot be exported. */
  readonly privateKey?: string;
  /** PBE of PKCS#12 with 3DES, or PBES2 with AES. */
  readonly encryption?: "3des" | "aes256";
  readonly password?: string;
}

/** Without a MAC, which the relay does not ask for: the password is public. */
export function makePkcs12(wishes: Pkcs12Wishes): Buffer {
  const { certificates, privateKey, encryption = "3des", password = "" } = wishes;
  /** AlgorithmIdentifier and encrypted octets of anything: the structure of a PKCS#8 has both. */
  const encrypted = (plain: forge.asn1.Asn1): forge.asn1.Asn1[] =>
    pki.encryptPrivateKeyInfo(plain, password, { algorithm: encryption, count: 2048 })
      .value as forge.asn1.Asn1[];

  const bags = sequence(certificates.map((pem) =>
    sequence([
      oid(CERTIFICATE_BAG),
      explicit([sequence([oid(X509), explicit([octets(derOf(pem))])])]),
    ])
  ));
  const [algorithm, content] = encrypted(bags);
  const encryptedData = sequence([
    integer(0),
    sequence([
      oid(DATA),
      algorithm!,
      // [0] IMPLICIT
      asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, false, content!.value),
    ]),
  ]);
  const contents = [sequence([oid(ENCRYPTED_DATA), explicit([encryptedData])])];
  if (privateKey !== undefined) {
    const der = createPrivateKey(privateKey).export({ format: "der", type: "pkcs8" });
    const shrouded = sequence(encrypted(asn1.fromDer(Buffer.from(der).toString("latin1"))));
    const keyBags = sequence([sequence([oid(SHROUDED_KEY_BAG), explicit([shrouded])])]);
    contents.push(data(keyBags));
  }
  const pfx = sequence([integer(3), data(sequence(contents))]);
  return Buffer.from(asn1.toDer(pfx).getBytes(), "latin1");
}

function data(content: forge.asn1.Asn1): forge.asn1.Asn1 {
  return sequence([oid(DATA), explicit([octets(asn1.toDer(content).getBytes())])]);
}

function sequence(parts: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, SEQUENCE, true, parts);
}

function explicit(parts: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, true, parts);
}

function oid(text: string): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, OID, false, asn1.oidToDer(text).getBytes());
}

function octets(binary: string): forge.asn1.Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, OCTETSTRING, false, binary);
}

function integer(value: number): forge.asn1.Asn1 {
  return asn1.create(
    asn1.Class.UNIVERSAL,
    INTEGER,
    false,
    asn1.integerToDer(value).getBytes(),
  );
}

function derOf(pem: string): string {
  return Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64").toString("latin1");
}
