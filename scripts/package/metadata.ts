// What both kinds of packages say about themselves.

import metadata from "../../package.json" with { type: "json" };

/**
 * `Name <address>`. Both formats want an address; the project has none but its repository, so it is one
 * that GitHub keeps from receiving mail.
 */
export const MAINTAINER = metadata.author;
export const HOMEPAGE = metadata.homepage;
export const SUMMARY = "SMTP relay to Microsoft Graph";
/** Paragraphs of lines with at most 75 characters. */
export const DESCRIPTION: readonly string[] = [
  `Takes mail by SMTP (STARTTLS, AUTH) and sends it through Microsoft 365:
printers, scanners and programs that only know a name and a password go on
sending after Exchange Online has ended basic authentication.`,
  `A login is the IDs of an Entra ID app and its client secret, or a password
of the device's own. The package brings a hardened service for systemd,
which is neither enabled nor started: it needs a certificate first.`,
];

/** Where a package has its executable from, and what it calls the processor. */
export interface PackageTarget {
  /** In the executable's name: scripts/build/targets.ts. */
  readonly name: string;
  readonly debian: string;
  readonly rpm: string;
}

/** Those with glibc: of Debian's and Red Hat's kind. */
export const PACKAGE_TARGETS: readonly PackageTarget[] = [
  { name: "linux-x64", debian: "amd64", rpm: "x86_64" },
  { name: "linux-arm64", debian: "arm64", rpm: "aarch64" },
];

/** One package that is to be made. */
export interface Order {
  readonly target: PackageTarget;
  /** As the packages write it, without the release. */
  readonly version: string;
  /** Seconds since 1970. */
  readonly epoch: number;
  /** Left out for tests: compressing takes most of the time. */
  readonly compress: boolean;
  /** An empty directory for what it is made from. */
  readonly folder: string;
  /** The directory that the package is written to. */
  readonly output: string;
}
