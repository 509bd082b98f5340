/** The watch over the certificate's files: each way in which they are replaced, and half-written. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, it } from "node:test";
import { type Certificate, CertificateError } from "../../src/certificates/certificate.ts";
import { FileSource } from "../../src/certificates/file_source.ts";
import { type Chain, issueChain } from "../support/chains.ts";

/** Milliseconds that files must stay the same. */
const SETTLE = 20;

describe("the watch over the certificate's files", () => {
  let directory: string;
  let one: Chain;
  let other: Chain;
  before(async () => {
    one = await issueChain();
    other = await issueChain();
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "relay-watch-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const path = (...parts: string[]) => join(directory, ...parts);

  function source(folder = "", names = ["cert.pem", "key.pem"]): FileSource {
    return new FileSource({
      certificatePath: path(folder, names[0]!),
      keyPath: path(folder, names[1]!),
      settle: SETTLE,
    });
  }

  function write(folder: string, { certificate, privateKey }: Certificate): void {
    mkdirSync(path(folder), { recursive: true });
    writeFileSync(path(folder, "cert.pem"), certificate);
    writeFileSync(path(folder, "key.pem"), privateKey);
  }

  /** A read, with the state of the one before. */
  function watch(watched: FileSource) {
    let known: string | undefined;
    return async (complete = false) => {
      const { signal } = new AbortController();
      const found = await watched.read({ known, complete, signal });
      known = found?.revision ?? known;
      return found?.certificate.leaf.serialNumber.toLowerCase();
    };
  }

  it("finds nothing new in files that are only touched, or rewritten unchanged", async () => {
    write("", one);
    const look = watch(source());
    assert.equal(await look(), one.serial);
    utimesSync(path("cert.pem"), new Date(), new Date());
    assert.equal(await look(), undefined);
    write("", one);
    assert.equal(await look(), undefined);
  });

  it("sees files written in place, and files renamed over them", async () => {
    write("", one);
    const look = watch(source());
    assert.equal(await look(), one.serial);
    write("", other);
    assert.equal(await look(), other.serial);
    write("new", one);
    renameSync(path("new", "key.pem"), path("key.pem"));
    renameSync(path("new", "cert.pem"), path("cert.pem"));
    assert.equal(await look(), one.serial);
  });

  it("sees certbot's symbolic links in live/ change to other files in archive/", async () => {
    mkdirSync(path("archive"));
    mkdirSync(path("live"));
    const issue = (number: number, { certificate, privateKey }: Certificate) => {
      for (const [name, text] of [["fullchain", certificate], ["privkey", privateKey]] as const) {
        writeFileSync(path("archive", `${name}${number}.pem`), text);
        symlinkSync(`../archive/${name}${number}.pem`, path("live", `${name}.new`));
        renameSync(path("live", `${name}.new`), path("live", `${name}.pem`));
      }
    };
    issue(1, one);
    const look = watch(source("live", ["fullchain.pem", "privkey.pem"]));
    assert.equal(await look(), one.serial);
    assert.equal(await look(), undefined);
    issue(2, other);
    assert.equal(await look(), other.serial);
  });

  it("sees the symbolic link ..data of a Kubernetes volume change to another directory", async () => {
    const publish = (version: string, certificate: Certificate) => {
      write(version, certificate);
      symlinkSync(version, path("..data_tmp"));
      renameSync(path("..data_tmp"), path("..data"));
    };
    publish("..2026_01", one);
    symlinkSync("..data/cert.pem", path("cert.pem"));
    symlinkSync("..data/key.pem", path("key.pem"));
    const look = watch(source());
    assert.equal(await look(), one.serial);
    publish("..2026_02", other);
    rmSync(path("..2026_01"), { recursive: true });
    assert.equal(await look(), other.serial);
  });

  it("accepts nothing while files are being written, only what stays the same for a while", async () => {
    write("", one);
    const look = watch(source());
    await look();
    // A certificate without its chain matches its key: only time shows that more follows.
    writeFileSync(path("key.pem"), other.privateKey);
    writeFileSync(path("cert.pem"), `${other.certificates[0]}\n`);
    const looking = look();
    await new Promise((resolve) => setTimeout(resolve, SETTLE / 2));
    appendFileSync(path("cert.pem"), `${other.certificates[1]}\n`);
    assert.equal(await looking, other.serial);
    assert.equal(await look(), undefined, "it was taken with its chain");
  });

  it("finds nothing new when the old files are back before the new ones have settled", async () => {
    write("", one);
    const look = watch(source());
    await look();
    write("", other);
    const looking = look();
    await new Promise((resolve) => setTimeout(resolve, SETTLE / 2));
    write("", one);
    assert.equal(await looking, undefined);
  });

  it("refuses halves: one of the two files, a certificate cut off, a chain cut off", async () => {
    write("", one);
    const look = watch(source());
    await look();
    writeFileSync(path("cert.pem"), other.certificate);
    await assert.rejects(
      look(),
      (error: Error) =>
        error instanceof CertificateError &&
        /is not the key of the certificate/.test(error.message),
    );
    writeFileSync(path("key.pem"), other.privateKey);
    writeFileSync(path("cert.pem"), other.certificate.slice(0, 300));
    await assert.rejects(look(), /is cut off: a certificate begins in it/);
    writeFileSync(path("cert.pem"), other.certificate.slice(0, -40));
    await assert.rejects(look(), /is cut off/);
    rmSync(path("cert.pem"));
    await assert.rejects(look(), /does not exist/);
    writeFileSync(path("cert.pem"), other.certificate);
    assert.equal(await look(), other.serial);
  });

  it("does not wait on a signal that the files are complete", async () => {
    write("", one);
    const look = watch(
      new FileSource({
        certificatePath: path("cert.pem"),
        keyPath: path("key.pem"),
        settle: 3_600_000,
      }),
    );
    await look();
    write("", other);
    assert.equal(await look(true), other.serial);
  });
});
