// Which file systems can hold the queue. SQLite's locks and its shared memory need one of this machine
// (https://www.sqlite.org/wal.html, https://www.sqlite.org/faq.html#q5).

import { statfs as nodeStatfs } from "node:fs/promises";

/** What is needed of the answer of statfs(2). */
export interface FileSystemFacts {
  readonly type: number;
  /** Octets in a block. */
  readonly bsize: number;
  readonly blocks: number;
  /** Blocks that are free for everybody, not for root alone. */
  readonly bavail: number;
}

export type Statfs = (path: string) => Promise<FileSystemFacts>;

export const statfs: Statfs = (path) => nodeStatfs(path);

export interface FileSystem {
  /** As one calls it, such as `SMB`; "" if it needs no remark. */
  readonly name: string;
  /** `refused`: it cannot hold the queue; `doubtful`: it can, with a risk that `reason` names. */
  readonly verdict: "good" | "doubtful" | "refused";
  readonly reason: string;
}

const GOOD: FileSystem = { name: "", verdict: "good", reason: "" };
const NETWORK = "its locks do not hold between machines, and SQLite hangs or loses messages there";
const LOCKS = "whether its locks and its syncs hold depends on what is under it";

/** By the magic number of Linux: statfs(2), linux/magic.h. */
const FILE_SYSTEMS: ReadonlyMap<number, FileSystem> = new Map([
  [0xff534d42, { name: "SMB", verdict: "refused", reason: NETWORK }],
  [0xfe534d42, { name: "SMB", verdict: "refused", reason: NETWORK }],
  [0x517b, { name: "SMB", verdict: "refused", reason: NETWORK }],
  [0x6969, { name: "NFS", verdict: "refused", reason: NETWORK }],
  [0x65735546, { name: "FUSE", verdict: "doubtful", reason: LOCKS }],
  [0x01021997, { name: "9P", verdict: "doubtful", reason: LOCKS }],
  [0x00c36400, { name: "Ceph", verdict: "doubtful", reason: LOCKS }],
  [0x01021994, { name: "tmpfs", verdict: "doubtful", reason: "it is lost when the machine stops" }],
  [0x794c7630, {
    name: "overlay",
    verdict: "doubtful",
    reason: "in a container it is lost with the container: use a volume",
  }],
]);

/** @param type as statfs(2) gives it, signed or not */
export function fileSystemOf({ type }: Pick<FileSystemFacts, "type">): FileSystem {
  return FILE_SYSTEMS.get(type >>> 0) ?? GOOD;
}
